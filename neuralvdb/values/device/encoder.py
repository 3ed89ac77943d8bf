"""Leaf values of a grid encoded on devices, some chunks at a time: the bytes that values/encoder.py makes on a CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import field

import numpy as np
import torch

from neuralvdb.archive import FieldWriter
from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels import zigzag
from neuralvdb.nets.network import Network
from neuralvdb.values import chunk_sections, outliers
from neuralvdb.values.device.batch import Batch, load
from neuralvdb.values.device.lattice import Lattice, kept, lattice_on, predictors_on, rounded
from neuralvdb.values.device.models import DeviceModels, correction_on, slots_on
from neuralvdb.values.device.scheduler import schedule
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.device.writer import write
from neuralvdb.values.lattice.chunks import Chunk, chunks_of
from neuralvdb.values.lattice.constants import LAYERS, SCALE_CLASSES, SLOTS
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.values.lossless import by_component
from neuralvdb.values.outliers import ChunkOutliers, Voxels
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True)
class _Numbered:
    """A chunk and its number in the tree."""

    number: int
    chunk: Chunk


@dataclass(frozen=True, kw_only=True)
class _Coded:
    """Some chunks as they were coded.

    numbers: of the chunks;
    leaves: of all chunks, times components;
    buffer: of all chunks of one component after those of another;
    outliers: of each chunk.
    """

    numbers: list[int]
    leaves: int
    buffer: SymbolBuffer
    outliers: list[ChunkOutliers]


@dataclass(frozen=True, kw_only=True)
class DeviceEncoder:
    """Codes a tree.

    networks: of the promise's family, fine-tuned or not;
    dead_zone: (64,) float64, how much residuals of each scale class are rounded towards zero on the mean lattice;
    devices: to schedule chunks on, such as "cuda:0"; "cpu" is for kernels that are interpreted;
    reference: what corrects predictions; None where nothing does;
    implementation: of kernels.
    """

    tree: Tree
    promise: Promise
    networks: Mapping[NetworkKey, Network]
    dead_zone: np.ndarray
    devices: Sequence[str]
    reference: ReferenceValues | None = None
    implementation: str = "triton"
    _coded: list[_Coded] = field(default_factory=list)

    def encode(self, chunks: Iterable[Chunk] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, 512, C) of all leaves as they decode, and how often each symbol of each scale class occurs, (64,
        64) int64. chunks: those to encode, else all; values of others mean nothing. Raises OutOfMemory."""
        values = np.empty_like(by_component(self.tree.leaf))
        models = {device: self._models(torch.device(device)) for device in self.devices}
        items = [_Numbered(number, chunk) for number, chunk in enumerate(chunks or chunks_of(self.tree))]
        leaves = [len(item.chunk.leaves) * values.shape[2] for item in items]

        def work(items: list[_Numbered], device: str) -> _Coded:
            return self._encoded(items, device, models[device], values)

        with closing(schedule(items, leaves, self.devices, work)) as batches:
            self._coded.extend(batches)
        counts = np.zeros((SCALE_CLASSES, zigzag.ESCAPE + 1), np.int64)
        for coded in self._coded:
            counts += coded.buffer.counts
        return values, counts

    def store(self, voxels: Voxels, values: np.ndarray) -> None:
        """Stores voxels of scalar leaves exactly; values: as encode() gave them, which get the true ones there."""
        for coded in self._coded:
            coded.outliers[:] = [
                each.with_exact(voxels, self.promise, self.tree.leaf, values) for each in coded.outliers
            ]

    def sections(self, tables: Tables) -> dict[int, bytes]:
        """Payloads of TILE by number, written with these tables; what was encoded is forgotten. Raises OutOfMemory."""
        sections: dict[int, bytes] = {}

        def work(items: list[_Coded], device: str) -> dict[int, bytes]:
            written: dict[int, bytes] = {}
            for coded in items:
                written |= self._written(coded, tables, device)
            return written

        leaves = [coded.leaves for coded in self._coded]
        with closing(schedule(self._coded, leaves, self.devices, work)) as batches:
            for written in batches:
                sections |= written
        self._coded.clear()
        return dict(sorted(sections.items()))

    def _models(self, device: torch.device) -> DeviceModels:
        return DeviceModels(
            predictors=predictors_on(self.promise, self.networks, device),
            slots=slots_on(None, device),
            dead_zone=torch.from_numpy(self.dead_zone).to(device),
            correction=None if self.reference is None else correction_on(self.reference.correction, device),
        )

    def _encoded(self, items: list[_Numbered], device: str, models: DeviceModels, values: np.ndarray) -> _Coded:
        """Some chunks coded; their leaves are written into `values`."""
        chunks = [item.chunk for item in items]
        reference = None if self.reference is None else self.reference.by_component
        batch = load(self.tree, chunks, torch.device(device), self.implementation, reference=reference)
        lattice, leaves = lattice_on(batch, self.promise), np.concatenate([chunk.leaves for chunk in chunks])
        outs, buffer = [FieldWriter() for _ in items], SymbolBuffer(len(items) * batch.components)
        slots = list[list[np.ndarray]]()
        coded = lattice.encode(models, buffer)
        buffer.end()
        for component in range(batch.components):
            decoded, missed = self._decoded(batch, lattice, component, coded[batch.rows(component)])
            values[leaves, :, component] = decoded.cpu().numpy()
            self._put_outliers(outs, chunks, missed, values[..., component], component)
            slots.append(missed)
        return _Coded(
            numbers=[item.number for item in items],
            leaves=len(leaves) * batch.components,
            buffer=buffer,
            outliers=[
                ChunkOutliers(leaves=chunk.leaves, slots=of_chunk, payload=out.getvalue())
                for chunk, of_chunk, out in zip(chunks, zip(*slots, strict=True), outs, strict=True)
            ],
        )

    def _put_outliers(
        self,
        outs: list[FieldWriter],
        chunks: list[Chunk],
        missed: list[np.ndarray],
        values: np.ndarray,
        component: int,
    ) -> None:
        """Appends the outliers of a component, voxels `missed` (n,) of each chunk, and corrects values (N, 512)."""
        true = by_component(self.tree.leaf)[..., component]
        for out, chunk, voxels in zip(outs, chunks, missed, strict=True):
            leaf, voxel = chunk.leaves[voxels // SLOTS], voxels % SLOTS
            values[leaf, voxel] = outliers.put(out, self.promise, voxels, true[leaf, voxel], values[leaf, voxel])

    def _decoded(
        self, batch: Batch, lattice: Lattice, component: int, coded: torch.Tensor
    ) -> tuple[torch.Tensor, list[np.ndarray]]:
        """Values (B, 512) of a component's lattice values `coded`, and for each chunk which of its voxels do not keep
        the promise."""
        rows = batch.rows(component)
        true, active = batch.leaves[rows], batch.coded[rows] != 0
        values = torch.where(active, rounded(self.promise, lattice.values(coded), true.dtype, component), true)
        off = active & ~kept(self.promise, lattice, true, values)
        missed = torch.nonzero(off.view(-1))[:, 0].cpu().numpy()
        firsts = batch.boxes.starts * SLOTS
        by_chunk = np.split(missed, np.searchsorted(missed, firsts[1:-1]))
        return values, [voxels - first for voxels, first in zip(by_chunk, firsts, strict=False)]

    def _written(self, coded: _Coded, tables: Tables, device: str) -> dict[int, bytes]:
        components = by_component(self.tree.leaf).shape[2]
        chunks = write(coded.buffer, components, tables, torch.device(device), self.implementation)
        sections = {}
        for number, layers_of_chunk, missed in zip(coded.numbers, chunks, coded.outliers, strict=True):
            for layers, payloads in layers_of_chunk:
                sections[LAYERS * number + layers[0]] = chunk_sections.section(layers, payloads, missed.payload)
        return sections
