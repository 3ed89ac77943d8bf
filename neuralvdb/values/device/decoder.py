"""Leaf values of a grid decoded on devices, some chunks at a time, as many as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np
import torch

from neuralvdb.archive.rans import Decoder, Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.nets.network import Network
from neuralvdb.values.chunk_decoder import ComponentCells
from neuralvdb.values.chunk_sections import ChunkReader
from neuralvdb.values.device import inactive as device_inactive
from neuralvdb.values.device.batch import Batch, load
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.lattice import Lattice, lattice_on, predictors_on, rounded
from neuralvdb.values.device.models import DeviceModels, correction_on, slots_on
from neuralvdb.values.device.scheduler import Result, on_host, schedule
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice.coding import LatticeCells
from neuralvdb.values.lattice.constants import LAYERS
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.values.lossless import InactiveLeaves, by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True, kw_only=True)
class _Decoded:
    """A batch of chunks with lattice values (R, 512) int32 of cells of 2**lod voxels, of all components."""

    readers: Sequence[ChunkReader]
    batch: Batch
    lattice: Lattice
    values: torch.Tensor
    lod: int


@dataclass(frozen=True, kw_only=True)
class _LeafValues:
    """Values (B, 512, C) of leaves (B,) int64 of the tree, ready to be copied."""

    leaves: np.ndarray
    values: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _LodCells:
    """Cells of some chunks, of one component after the other. coded: (B, 512) uint8; values: (R, 512); both on the
    host."""

    readers: Sequence[ChunkReader]
    boxes: Boxes
    coded: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DeviceDecoder:
    """Decodes chunks of a tree.

    tree: its leaf values are not looked at;
    inactive: those of its leaves;
    components: of a value;
    reference: what corrects predictions; only its values of active voxels are looked at;
    devices: to schedule chunks on, such as "cuda:0"; "cpu" is for kernels that are interpreted;
    implementation: of kernels.
    """

    tree: Tree
    inactive: InactiveLeaves
    promise: Promise
    networks: Mapping[NetworkKey, Network]
    tables: Tables
    components: int
    reference: ReferenceValues | None
    devices: Sequence[str]
    implementation: str = "triton"

    def values(self, readers: Sequence[ChunkReader]) -> torch.Tensor:
        """(N, 512, C) values of all leaves on the first device, of the tree's type; outliers are not in it.

        Raises DamagedFile, OutOfMemory.
        """
        leaf = by_component(self.tree.leaf)
        values = torch.empty(leaf.shape, dtype=torch.from_numpy(leaf[:0]).dtype, device=self.devices[0])
        with closing(self._scheduled(readers, 0, self._leaf_values)) as batches:
            for batch in batches:
                values[torch.from_numpy(batch.leaves).to(values.device)] = batch.values.to(values.device)
        return values

    def fill(self, values: np.ndarray, readers: Iterable[ChunkReader]) -> Iterator[ChunkReader]:
        """As ChunkDecoder has it; `values` on the host gets those of a batch while the next is decoded."""
        waiting = list(readers)
        with closing(self._scheduled(waiting, 0, self._leaf_values)) as batches:
            for batch in batches:
                values[batch.leaves] = on_host(batch.values)
        yield from waiting

    def cells(self, readers: Iterable[ChunkReader], lod: int) -> Generator[ComponentCells, None, None]:
        """As ChunkDecoder has it; the cells of a batch share bricks."""
        with closing(self._scheduled(list(readers), lod, _lod_cells)) as batches:
            for batch in batches:
                tables = batch.boxes.tables()
                for component in range(self.components):
                    for reader in batch.readers:
                        yield ComponentCells(reader, component, LatticeCells(next(tables), batch.values, batch.coded))

    def _scheduled(
        self, readers: Sequence[ChunkReader], lod: int, result_of: Callable[[_Decoded], Result]
    ) -> Generator[Result, None, None]:
        """What `result_of` makes of each batch, on its device, while the batch is there."""
        models = {device: self._models(torch.device(device)) for device in self.devices}
        inactive = {device: self._inactive(torch.device(device)) for device in self.devices}

        def work(items: list[ChunkReader], device: str) -> Result:
            batch = load(
                self.tree,
                [reader.chunk for reader in items],
                torch.device(device),
                self.implementation,
                inactive[device],
                None if self.reference is None else self.reference.by_component,
            )
            return result_of(self._decoded(items, batch, models[device], lod))

        leaves = [len(reader.chunk.leaves) * self.components for reader in readers]
        return schedule(readers, leaves, self.devices, work)

    def _inactive(self, device: torch.device) -> device_inactive.InactiveLeaves:
        return device_inactive.InactiveLeaves(self.tree, self.inactive, device)

    def _models(self, device: torch.device) -> DeviceModels:
        predictors = predictors_on(self.promise, self.networks, device)
        correction = None if self.reference is None else correction_on(self.reference.correction, device)
        return DeviceModels(predictors=predictors, slots=slots_on(self.tables, device), correction=correction)

    def _decoded(self, readers: list[ChunkReader], batch: Batch, models: DeviceModels, lod: int) -> _Decoded:
        lattice = lattice_on(batch, self.promise)
        decoders = [_decoders(reader, component, lod) for component in range(self.components) for reader in readers]
        streams = Streams(decoders, batch.device)
        values = lattice.decode(models, streams, lod)
        streams.finish()  # only now, because it waits for the device
        return _Decoded(readers=readers, batch=batch, lattice=lattice, values=values, lod=lod)

    def _leaf_values(self, decoded: _Decoded) -> _LeafValues:
        batch, each = decoded.batch, []
        for component in range(self.components):
            rows = batch.rows(component)
            exact, inactive = decoded.lattice.values(decoded.values[rows]), batch.leaves[rows]
            active = rounded(self.promise, exact, inactive.dtype, component)
            each.append(torch.where(batch.coded[rows] != 0, active, inactive))
        values = torch.stack(each, 2)
        if values.is_cuda:
            torch.cuda.current_stream(values.device).synchronize()
        return _LeafValues(leaves=np.concatenate([chunk.leaves for chunk in batch.chunks]), values=values)


def _lod_cells(decoded: _Decoded) -> _LodCells:
    boxes, coded = decoded.lattice.cells(decoded.lod)
    return _LodCells(
        readers=decoded.readers,
        boxes=boxes,
        coded=coded[: boxes.bricks].cpu().numpy(),
        values=decoded.values.cpu().numpy(),
    )


def _decoders(reader: ChunkReader, component: int, lod: int) -> dict[int, Decoder]:
    """Decoders of a chunk's payloads by the layer they begin with, as far as they are needed."""
    return {layer: reader.decoder(layer, component) for layer in range(LAYERS - lod) if reader.begins(layer)}
