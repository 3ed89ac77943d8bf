"""Examples to train predictors on: contexts as a decoder sees them, and the values to be predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import chunks, mean_inputs, sample_inputs
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import Observer, Phase, SymbolSink
from neuralvdb.values.lattice.constants import LAYERS, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lattice.schedule import KEYS, NetworkKey
from neuralvdb.volume import Tree

Networks = dict[NetworkKey, Network]
_DEAD_ZONES = np.full(SCALE_CLASSES, 0.1)  # of the mean lattice while nothing is known of the bits


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
    kind = LatticeKind.SAMPLE
    inputs_of = staticmethod(sample_inputs.inputs_of)
    layout = staticmethod(sample_inputs.layout)


class MeanTask:
    """Learning to predict the mean lattice."""

    lattice = "mean"
    kind = LatticeKind.MEAN
    inputs_of = staticmethod(mean_inputs.inputs_of)
    layout = staticmethod(mean_inputs.layout)


Task = type[SampleTask] | type[MeanTask]


def untrained(task: Task) -> Networks:
    """Networks that add nothing to the interpolation."""
    return {key: interpolation_only(task.inputs_of(key.phase)) for key in KEYS}


def collect(
    task: Task,
    tree: Tree,
    component: int,
    quantiser: Quantiser,
    networks: Networks,
    rng: np.random.Generator,
    limit: int,
) -> dict[NetworkKey, list[Examples]]:
    """Examples of every phase, at most `limit` of a phase in a chunk, met while coding with `networks`."""
    found: dict[NetworkKey, list[Examples]] = {}

    def observe(phase: Phase) -> None:
        if len(phase.points):
            pick = np.sort(rng.permutation(len(phase.points))[:limit])
            found.setdefault(phase.coding.network, []).append(_examples(phase, phase.points[pick]))

    _code(task, tree, component, quantiser, networks, _Nowhere(), observe)
    return found


def count(task: Task, tree: Tree, component: int, quantiser: Quantiser, networks: Networks, counts: np.ndarray) -> None:
    """Adds to counts (64, 64) int64 how often each symbol of each scale class occurs while coding with `networks`."""
    buffer = SymbolBuffer()
    _code(task, tree, component, quantiser, networks, buffer)
    counts += buffer.counts


def _code(
    task: Task,
    tree: Tree,
    component: int,
    quantiser: Quantiser,
    networks: Networks,
    buffer: SymbolSink,
    observer: Observer | None = None,
) -> None:
    """Codes a component to a buffer."""
    coder = lattice_of(task.kind)(quantiser=quantiser, predictor=Predictor(networks), dead_zones=_DEAD_ZONES)
    for chunk in chunks.chunks_of(tree):
        coder.encode(ChunkComponent.of(tree, chunk, component), [buffer] * LAYERS, observer)


class Sampler:
    """What an encoding under a promise meets: some `limit` examples of each network of the
    finest `levels`, spread evenly over the tree's `leaves` and `components`."""

    def __init__(self, leaves: int, components: int, limit: int, levels: int) -> None:
        self._levels = levels
        self._share, self._rng = limit / (leaves * components), np.random.default_rng(0)
        self._found: dict[NetworkKey, list[Examples]] = {}
        self._counts: dict[NetworkKey, int] = {}

    def __call__(self, phase: Phase) -> None:
        """Takes examples of a phase that is about to be coded."""
        key, points = phase.coding.network, phase.points
        self._counts[key] = self._counts.get(key, 0) + len(points)
        if len(points) and key.level < self._levels:
            pick = np.sort(self._rng.permutation(len(points))[: math.ceil(self._share * phase.leaves)])
            self._found.setdefault(key, []).append(_examples(phase, points[pick]))

    def samples(self) -> dict[NetworkKey, Sample]:
        """What was met, by network."""
        return {key: Sample(joined(parts), self._counts[key]) for key, parts in sorted(self._found.items())}


def _examples(phase: Phase, points: Points) -> Examples:
    """Examples of some points of a phase."""
    seen = phase.view.inputs(points, phase.coding)
    unit = np.exp2(seen.exponent)
    wanted = (phase.true(points) - seen.base) / unit
    parts = (wanted, unit / phase.coding.quant_step, seen.scale / 16)
    return Examples(seen.inputs, *(part.astype(np.float32) for part in parts))


class _Nowhere:
    """A buffer that forgets."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
