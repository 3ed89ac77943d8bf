"""Examples to train predictors on: contexts as a decoder sees them, and the values to be predicted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neuralvdb.archive.rans import TOTAL, Tables
from neuralvdb.values.lattice import domain, levels, sample
from neuralvdb.values.lattice.context import context, inputs_of
from neuralvdb.values.lattice.network import CLASSES, HIDDEN, OUTPUTS, Network
from neuralvdb.values.lattice.predict import FINEST, Predictor
from neuralvdb.values.lattice.steps import STEPS, UNITS_PER_ERROR
from neuralvdb.volume import Tree

Key = tuple[int, int, int]
FLAT = Tables(np.full((CLASSES, CLASSES), TOTAL // CLASSES))


@dataclass
class Examples:
    """n points of one phase. inputs: (n, i) int16; target: (n,) float32, distance from base in units of 2**exponent;
    ratio: (n,) float32, 2**exponent over the step; scale: (n,) float32, log2 of the scale around over the step."""

    inputs: np.ndarray
    target: np.ndarray
    ratio: np.ndarray
    scale: np.ndarray


def joined(parts: list[Examples]) -> Examples:
    """All examples of one phase together."""
    return Examples(*(np.concatenate([getattr(p, name) for p in parts]) for name in Examples.__dataclass_fields__))


def untrained() -> dict[Key, Network]:
    """Networks that add nothing to the cubic interpolation."""
    return {(k, axis, phase): _zeros(inputs_of(phase)) for k in range(FINEST) for axis in range(3) for phase in (0, 1)}


def collect(
    tree: Tree, component: int, bound: float, networks: dict[Key, Network], rng: np.random.Generator, limit: int
) -> dict[Key, list[Examples]]:
    """Examples of every phase, at most `limit` of a phase in a domain, seen while coding with `networks` under a bound.

    bound: maximum error in the grid's values.
    """
    found = _Recorder(Predictor(networks), rng, limit)
    for part in domain.domains(tree):
        found.exact, decoded = sample.levels_of(tree, part, component, domain.Lattice(bound / UNITS_PER_ERROR))
        sample.encode(found.exact, decoded, found, FLAT, _Nowhere())
    return found.examples


@dataclass
class _Recorder:
    """A predictor that notes what it is asked."""

    predictor: Predictor
    rng: np.random.Generator
    limit: int
    exact: list[np.ndarray] = field(default_factory=list)
    examples: dict[Key, list[Examples]] = field(default_factory=dict)

    def __call__(
        self, level: levels.Level, row: np.ndarray, place: np.ndarray, k: int, axis: int, phase: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if len(row):
            pick = np.sort(self.rng.permutation(len(row))[: self.limit])
            seen = context(level, row[pick], place[pick], axis, phase, STEPS[k])
            around = np.exp2(seen.exponent)
            target = (self.exact[k][row[pick], place[pick]] - seen.base) / around
            parts = (seen.inputs, target, around / STEPS[k], seen.scale / 16)
            kept = Examples(parts[0], *(part.astype(np.float32) for part in parts[1:]))
            self.examples.setdefault((min(k, FINEST - 1), axis, phase), []).append(kept)
        return self.predictor(level, row, place, k, axis, phase)


class _Nowhere:
    """An encoder that forgets."""

    def put(self, *_: object) -> None:
        """Nothing."""

    def put_bits(self, *_: object) -> None:
        """Nothing."""


def _zeros(inputs: int) -> Network:
    first, second = HIDDEN
    shapes = ((first, inputs), (first,), (second, first), (second,), (OUTPUTS, second), (OUTPUTS,), (OUTPUTS, inputs))
    return Network(
        *(np.zeros(shape, np.int32 if len(shape) == 1 else np.int8) for shape in shapes), np.zeros(6, np.int8)
    )
