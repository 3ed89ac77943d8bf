"""What decodes chunks of lossy values, and its implementation on the CPU; values/device/decoder.py has the other."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.nets.network import Network
from neuralvdb.platform import return_memory
from neuralvdb.threads import run_in_order
from neuralvdb.values.chunk_sections import ChunkReader
from neuralvdb.values.lattice.chunks import ChunkComponent, ChunkThreads
from neuralvdb.values.lattice.coding import LatticeCells
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.values.leaf_values import LeafValues
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True)
class ComponentCells:
    """Cells of one component of the chunk of a reader."""

    reader: ChunkReader
    component: int
    cells: LatticeCells


class ChunkDecoder(Protocol):
    """Decodes chunks of a grid."""

    def fill(self, values: np.ndarray, readers: Iterable[ChunkReader]) -> Iterator[ChunkReader]:
        """Gives every chunk once the values of its leaves are in `values` (N, 512, C), but for its outliers.

        Raises DamagedFile, OutOfMemory.
        """

    def cells(self, readers: Iterable[ChunkReader], lod: int) -> Generator[ComponentCells, None, None]:
        """Cells of 2**lod voxels of every component of every chunk; the last component of a chunk comes last.

        Finer layers are not read. To be closed by who takes them. Raises DamagedFile, OutOfMemory.
        """


class HostDecoder:
    """Decodes chunks of `tree` on the CPU. implementation: of predictors; reference: what corrects them."""

    def __init__(
        self,
        tree: Tree,
        promise: Promise,
        networks: dict[NetworkKey, Network],
        *,
        threads: int,
        implementation: str,
        reference: ReferenceValues | None,
    ) -> None:
        self._tree, self._promise = tree, promise
        self._threads = ChunkThreads.of(len(tree.leaf), threads)
        self._reference = reference
        self._lattice = lattice_of(promise.mode.lattice)(
            quantiser=promise.quantiser,
            predictor=Predictor(networks, threads=self._threads.each, implementation=implementation),
            implementation=implementation,
        )

    def fill(self, values: np.ndarray, readers: Iterable[ChunkReader]) -> Iterator[ChunkReader]:
        """As ChunkDecoder has it."""
        decoded = LeafValues(self._tree, self._promise, values, self._threads.each)

        def fill_chunk(reader: ChunkReader) -> ChunkReader:
            for component in range(values.shape[2]):
                lattice_values = self._cells(reader, component, 0).values
                return_memory(lattice_values.nbytes)
                decoded.fill(reader.chunk, component, lattice_values)
                del lattice_values
            return reader

        work = (functools.partial(fill_chunk, reader) for reader in readers)
        yield from run_in_order(work, threads=self._threads.at_once, most_waiting=self._threads.at_once + 1)

    def cells(self, readers: Iterable[ChunkReader], lod: int) -> Generator[ComponentCells, None, None]:
        """As ChunkDecoder has it."""
        components = by_component(self._tree.leaf).shape[2]
        for reader in readers:
            for component in range(components):
                yield ComponentCells(reader, component, self._cells(reader, component, lod))

    def _cells(self, reader: ChunkReader, component: int, lod: int) -> LatticeCells:
        streams = reader.component(component)
        reference = None if self._reference is None else self._reference.of(self._tree, reader.chunk, component)
        cells = self._lattice.decode(ChunkComponent.of(self._tree, reader.chunk, component), streams, lod, reference)
        streams.finish()
        return cells
