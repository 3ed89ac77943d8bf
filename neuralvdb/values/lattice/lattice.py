"""The one place that chooses between the two lattices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells, LayerSource, Observer, SymbolSink
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.mean import MeanLattice
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import Reference
from neuralvdb.values.lattice.sample import SampleLattice


class Lattice(Protocol):
    """Codes components of chunks on the CPU: SampleLattice or MeanLattice."""

    def __init__(
        self,
        *,
        quantiser: Quantiser,
        predictor: Predictor,
        dead_zones: np.ndarray = ...,
        implementation: str = "native",
    ) -> None: ...

    @staticmethod
    def inputs_of(phase: int) -> int:
        """The number of inputs of a predictor."""

    def encode(
        self,
        component: ChunkComponent,
        buffers: Sequence[SymbolSink],
        observer: Observer | None = None,
        reference: Reference | None = None,
    ) -> np.ndarray:
        """Puts a component in the buffers of its layers and returns its values (R, 512) int32 as they decode."""

    def decode(
        self, component: ChunkComponent, source: LayerSource, lod: int = 0, reference: Reference | None = None
    ) -> LatticeCells:
        """Takes a component from the decoders of its layers, down to cells of 2**lod voxels. Raises DamagedFile."""


_LATTICES: dict[LatticeKind, type[Lattice]] = {LatticeKind.SAMPLE: SampleLattice, LatticeKind.MEAN: MeanLattice}


def lattice_of(kind: LatticeKind) -> type[Lattice]:
    """The class that codes on a kind of lattice."""
    return _LATTICES[kind]
