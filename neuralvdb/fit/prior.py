"""Trains a family's prior: coded with what there is, examples noted, networks fitted to them; then once more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from neuralvdb.archive.rans import Tables
from neuralvdb.fit.examples import FLAT, Examples, Key, collect, joined, untrained
from neuralvdb.fit.tables import fit_tables
from neuralvdb.fit.train import Predictor as Trained
from neuralvdb.fit.train import to_integers, train
from neuralvdb.values.lattice import domain, priors, sample
from neuralvdb.values.lattice.network import CLASSES, Network
from neuralvdb.values.lattice.predict import Predictor
from neuralvdb.values.lattice.steps import UNITS_PER_ERROR
from neuralvdb.volume import Tree, VdbReader, describe_metadata
from neuralvdb.volume.grid import unpack

BOUNDS = (10**-3.2, 10**-1.35)  # relative bounds that are trained for, log-uniform
_SMALLEST = 2000  # active voxels of a field worth learning from
_LARGEST_RANGE = 1e5  # beyond, values mark the outside rather than measure anything
_POINTS, _LARGE = (8000, 20000), 100_000  # examples of a phase from small and large fields, and where large begins


@dataclass(frozen=True)
class Field:
    """A component of a grid to learn from: its tree, the component, the active range and the active voxels."""

    name: str
    tree: Tree
    component: int
    span: float
    voxels: int


def fields_of(paths: Iterable[str | os.PathLike[str]], family: str) -> list[Field]:
    """Every different field of a family in .vdb files. Raises InputError, DamagedFile."""
    found: dict[bytes, Field] = {}
    for path in paths:
        for grid in VdbReader(path):
            if grid.tree is None or not len(grid.tree.leaf):
                continue
            level_set = describe_metadata(grid.metadata).get("class", ("", ""))[1] == "level set"
            values = grid.tree.leaf.values[unpack(grid.tree.leaf.active)]
            if family != ("levelset" if level_set else "velocity" if values.ndim == 2 else "fog"):
                continue
            for c, component in enumerate(values.reshape(len(values), -1).T):
                finite = component[np.isfinite(component)]
                span = float(finite.max() - finite.min()) if len(finite) else 0.0
                if len(values) >= _SMALLEST and 0 < span < _LARGEST_RANGE:
                    found.setdefault(component.tobytes(), Field(grid.name, grid.tree, c, span, len(values)))
    return list(found.values())


def train_prior(
    fields: list[Field], *, steps: int, rounds: int, seed: int, progress: Callable[[str], None] = lambda _: None
) -> priors.Prior:
    """A prior fitted to `fields`. steps: of each network in the last round, half of it before. `progress` is told
    of each network."""
    networks, models = untrained(), {}
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        for key, parts in sorted(_examples(fields, networks, rng).items()):
            count = steps if turn == rounds - 1 else steps // 2
            models[key] = train(joined(parts), steps=count, seed=seed, start=models.get(key))
            progress(f"round {turn + 1}, level {key[0]} axis {key[1]} phase {key[2]}")
        networks = networks | _integers(models)
    return priors.make(networks, _tables(fields, networks, np.random.default_rng([seed, rounds])))


def _examples(fields: list[Field], networks: dict[Key, Network], rng: np.random.Generator) -> dict[Key, list[Examples]]:
    found: dict[Key, list[Examples]] = {}
    for item in fields:
        large = item.voxels > _LARGE
        for _ in range(4 if large else 3):
            parts = collect(item.tree, item.component, _bound(item, rng), networks, rng, _POINTS[large])
            for key, examples in parts.items():
                found.setdefault(key, []).extend(examples)
    return found


def _integers(models: dict[Key, Trained]) -> dict[Key, Network]:
    return {key: to_integers(model) for key, model in models.items()}


def _tables(fields: list[Field], networks: dict[Key, Network], rng: np.random.Generator) -> Tables:
    """Tables counted while coding every field under four bounds."""
    counter, predictor = _Counter(), Predictor(networks)
    for item in fields:
        for _ in range(4):
            lattice = domain.Lattice(_bound(item, rng) / UNITS_PER_ERROR)
            for part in domain.domains(item.tree):
                exact, decoded = sample.levels_of(item.tree, part, item.component, lattice)
                sample.encode(exact, decoded, predictor, FLAT, counter)
    return fit_tables(counter.counts)


def _bound(item: Field, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(BOUNDS)))) * item.span


@dataclass
class _Counter:
    """An encoder that only counts symbols by class."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros((CLASSES, CLASSES), np.int64))

    def put(self, classes: np.ndarray, symbols: np.ndarray) -> None:
        """Counts."""
        np.add.at(self.counts, (classes, symbols), 1)

    def put_bits(self, *_: object) -> None:
        """Nothing."""
