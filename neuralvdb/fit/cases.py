"""Cases to learn from, what an encoder meets while it codes them, and the networks that it begins with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.examples import Examples, examples_of
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser, chunks_of
from neuralvdb.values.lattice.coding import Observer, Phase, SymbolSink
from neuralvdb.values.lattice.constants import LAYERS, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.pass_order import KEYS, NetworkKey
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.volume import Tree

Networks = Mapping[NetworkKey, Network]
_DEAD_ZONES = np.full(SCALE_CLASSES, 0.1)  # of the mean lattice while nothing is known of the bits


@dataclass(frozen=True)
class Case:
    """A component of a tree under a lattice, to learn from."""

    tree: Tree
    component: int
    kind: LatticeKind
    quantiser: Quantiser

    def encode(self, networks: Networks, sink: SymbolSink, observer: Observer | None = None) -> None:
        """Codes it, all layers to one sink."""
        predictor = Predictor(dict(networks))
        coder = lattice_of(self.kind)(quantiser=self.quantiser, predictor=predictor, dead_zones=_DEAD_ZONES)
        for chunk in chunks_of(self.tree):
            coder.encode(ChunkComponent.of(self.tree, chunk, self.component), [sink] * LAYERS, observer)


def initial_networks(kind: LatticeKind) -> dict[NetworkKey, Network]:
    """Networks that add nothing to the interpolation."""
    return {key: interpolation_only(lattice_of(kind).inputs_of(key.phase)) for key in KEYS}


def collect(case: Case, networks: Networks, rng: np.random.Generator, limit: int) -> dict[NetworkKey, list[Examples]]:
    """Examples of every network, at most `limit` of a pass over a chunk, met while coding with `networks`."""
    examples: dict[NetworkKey, list[Examples]] = {}

    def observe(phase: Phase) -> None:
        if len(phase.points):
            which = np.sort(rng.permutation(len(phase.points))[:limit])
            examples.setdefault(phase.coding.network, []).append(examples_of(phase, phase.points[which]))

    case.encode(networks, _Discarding(), observe)
    return examples


def count_symbols(case: Case, networks: Networks) -> np.ndarray:
    """(64, 64) int64: how often each symbol of each scale class occurs while coding with `networks`."""
    buffer = SymbolBuffer()
    case.encode(networks, buffer)
    return buffer.counts


class _Discarding:
    """A sink that keeps nothing."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
