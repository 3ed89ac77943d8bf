"""Examples to train predictors on: contexts as a decoder sees them, and the values to be predicted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from neuralvdb.values.lattice import chunks, mean, mean_inputs, network, sample, sample_inputs
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LAYERS
from neuralvdb.values.lattice.mean_pyramid import AXES
from neuralvdb.values.lattice.network import CLASSES, OUTPUTS, Network
from neuralvdb.values.lattice.predictor import MeanPredictor, Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lattice.schedule import KEYS, NetworkKey, network_key
from neuralvdb.values.lattice.steps import STEPS
from neuralvdb.values.promise import Promise
from neuralvdb.volume import Tree

Networks = dict[NetworkKey, Network]
_DEAD = np.full(CLASSES, 0.1)  # rounding towards zero on the mean lattice while nothing is known of the bits
Watch = Callable[..., None]  # (key, step, row, place, context of points, true values of points)


@dataclass
class Examples:
    """n points of one phase. inputs: (n, i) int16; target: (n,) float32, distance from base in units of 2**exponent;
    ratio: (n,) float32, 2**exponent over the step; scale: (n,) float32, log2 of the scale around over the step."""

    inputs: np.ndarray
    target: np.ndarray
    ratio: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def select(self, which: slice | np.ndarray) -> Examples:
        """Those that an index picks."""
        return Examples(*(getattr(self, name)[which] for name in Examples.__dataclass_fields__))


@dataclass(frozen=True)
class Sample:
    """Examples of a network's residuals, and how many residuals they stand for."""

    examples: Examples
    count: int

    @property
    def weight(self) -> float:
        """Residuals that an example stands for."""
        return self.count / len(self.examples)

    def thinned(self, limit: int) -> Sample:
        """At most `limit` of the examples, evenly spread, which stand for as many residuals."""
        every = max(1, math.ceil(len(self.examples) / limit))
        return Sample(self.examples.select(slice(None, None, every)), self.count)


def joined(parts: list[Examples]) -> Examples:
    """All examples of one phase together."""
    return Examples(*(np.concatenate([getattr(p, name) for p in parts]) for name in Examples.__dataclass_fields__))


class SampleTask:
    """Learning to predict the sample lattice."""

    lattice = "sample"
    inputs_of = staticmethod(sample_inputs.inputs_of)

    @staticmethod
    def code(
        tree: Tree, component: int, lattice: chunks.Quantiser, watch: Watch, networks: Networks, out: object
    ) -> None:
        """Codes a component to `out`; `watch` is shown every phase."""
        predictor = Predictor(networks, inside=lattice.inside)
        for part in chunks.chunks_of(tree):
            exact, decoded = sample.levels_of(tree, part, component, lattice)
            predict = SampleTask.watched(predictor, exact, watch)
            sample.encode(exact, decoded, predict, [out] * LAYERS)

    @staticmethod
    def watched(predictor: Predictor, exact: Callable[..., np.ndarray], watch: Watch) -> Callable:
        """A predictor that shows `watch` every phase; exact: as sample.levels_of() gives it."""

        def predict(level, row, place, k, axis, phase):
            key, step = network_key(k, axis, phase), STEPS[k]
            seen = partial(sample_inputs.context, level, axis=axis, phase=phase, step=step, inside=predictor.inside)
            watch(key, step, row, place, seen, partial(exact, k))
            return predictor(level, row, place, k, axis, phase)

        return predict


class MeanTask:
    """Learning to predict the mean lattice."""

    lattice = "mean"
    inputs_of = staticmethod(mean_inputs.inputs_of)

    @staticmethod
    def code(
        tree: Tree, component: int, lattice: chunks.Quantiser, watch: Watch, networks: Networks, out: object
    ) -> None:
        """Codes a component to `out`; `watch` is shown every phase."""
        predictor = MeanPredictor(networks)
        for part in chunks.chunks_of(tree):
            true, floors = mean.floors_of(tree, part, component, lattice)
            predict = MeanTask.watched(predictor, true, watch)
            mean.last(mean.encode(true, floors, lattice, predict, _DEAD, [out] * LAYERS))

    @staticmethod
    def watched(predictor: Callable, true: mean.TrueMeans, watch: Watch) -> Callable:
        """A predictor that shows `watch` every phase."""

        def predict(level, gaps, share, row, place, j, phase):
            axis, step = AXES[j % 3], mean.STEPS[j]
            key = network_key(j // 3, axis, phase)
            seen = partial(mean_inputs.context, level, gaps, share, axis=axis, phase=phase, step=step)
            watch(key, step, row, place, seen, partial(true.gaps, j))
            return predictor(level, gaps, share, row, place, j, phase)

        return predict


Task = type[SampleTask] | type[MeanTask]


def untrained(task: Task) -> Networks:
    """Networks that add nothing to the interpolation."""
    return {key: _zeros(task.inputs_of(key[2])) for key in KEYS}


def collect(
    task: Task,
    tree: Tree,
    component: int,
    lattice: chunks.Quantiser,
    networks: Networks,
    rng: np.random.Generator,
    limit: int,
) -> dict[NetworkKey, list[Examples]]:
    """Examples of every phase, at most `limit` of a phase in a domain, seen while coding with `networks`."""
    found: dict[NetworkKey, list[Examples]] = {}

    def watch(key: NetworkKey, step: int, row: np.ndarray, place: np.ndarray, seen: Callable, target: Callable) -> None:
        if not len(row):
            return
        pick = np.sort(rng.permutation(len(row))[:limit])
        found.setdefault(key, []).append(_examples(step, row[pick], place[pick], seen, target))

    task.code(tree, component, lattice, watch, networks, _Nowhere())
    return found


def count(
    task: Task, tree: Tree, component: int, lattice: chunks.Quantiser, networks: Networks, counts: np.ndarray
) -> None:
    """Adds to counts (64, 64) int64 how often each symbol of each class occurs while coding with `networks`."""
    record = SymbolBuffer()
    task.code(tree, component, lattice, lambda *_: None, networks, record)
    counts += record.counts


class Sampler:
    """What an encoding under a promise meets: some `limit` examples of each network of the
    finest `levels`, spread evenly over the tree's `leaves` and `components`."""

    def __init__(self, leaves: int, components: int, limit: int, levels: int) -> None:
        self._levels = levels
        self._share, self._rng = limit / (leaves * components), np.random.default_rng(0)
        self._found: dict[NetworkKey, list[Examples]] = {}
        self._counts: dict[NetworkKey, int] = {}

    def __call__(self, promise: Promise, part: chunks.Chunk, predictor: Callable, exact: object) -> Callable:
        """A predictor that is watched."""
        some = math.ceil(self._share * len(part.leaves))

        def watch(
            key: NetworkKey, step: int, row: np.ndarray, place: np.ndarray, seen: Callable, target: Callable
        ) -> None:
            self._counts[key] = self._counts.get(key, 0) + len(row)
            if len(row) and key[0] < self._levels:
                pick = np.sort(self._rng.permutation(len(row))[:some])
                self._found.setdefault(key, []).append(_examples(step, row[pick], place[pick], seen, target))

        task = MeanTask if promise.mode.lattice is LatticeKind.MEAN else SampleTask
        return task.watched(predictor, exact, watch)

    def samples(self) -> dict[NetworkKey, Sample]:
        """What was met, by network."""
        return {key: Sample(joined(parts), self._counts[key]) for key, parts in sorted(self._found.items())}


def _examples(step: int, row: np.ndarray, place: np.ndarray, seen: Callable, target: Callable) -> Examples:
    """Examples of some points; arguments as Watch has them."""
    context_of = seen(row, place)
    around = np.exp2(context_of.exponent)
    wanted = (target(row, place) - context_of.base) / around
    parts = (wanted, around / step, context_of.scale / 16)
    return Examples(context_of.inputs, *(part.astype(np.float32) for part in parts))


class _Nowhere:
    """A record that forgets."""

    def put(self, *_: object) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def _zeros(inputs: int) -> Network:
    path, shifts = np.zeros((OUTPUTS, inputs), np.int8), np.zeros(3 * OUTPUTS, np.int8)
    return network.linear(np.zeros(OUTPUTS, np.int32), path, shifts)
