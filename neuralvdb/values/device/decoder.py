"""Leaf values of a grid decoded on devices, some domains at a time, as many as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from neuralvdb.archive.rans import Tables
from neuralvdb.values.chunk_sections import TileReader
from neuralvdb.values.device import mean, sample
from neuralvdb.values.device.batch import Batch, load, values_of
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.scheduler import deal, on_host
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice.chunks import Chunk
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LAYERS
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.schedule import NetworkKey
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree

Part = tuple[Chunk, TileReader]
Cells = tuple[np.ndarray, np.ndarray, np.ndarray]  # table, values (R, 512) and coded (B, 512) as in levels.Level
Tower = list  # levels or floors of a batch
Result = TypeVar("Result")


@dataclass
class DeviceDecoder:
    """devices: to deal domains out to, such as "cuda:0"; "cpu" is for kernels that are interpreted."""

    tree: Tree
    promise: Promise
    networks: dict[NetworkKey, Network]
    tables: Tables
    components: int
    devices: Sequence[str]
    implementation: str = "triton"

    def values(self, parts: Sequence[Part]) -> torch.Tensor:
        """(N, 512, C) values of all leaves on the first device, of the tree's type; exceptions are not in it.

        Raises DamagedFile, OutOfMemory.
        """
        found = torch.from_numpy(by_component(self.tree.leaf)).to(self.devices[0], copy=True)
        for leaves, values in self._decoded(parts, 0, self._leaf_values):
            found[torch.from_numpy(leaves).to(found.device)] = values.to(found.device)
        return found

    def fill(self, values: np.ndarray, parts: Sequence[Part]) -> None:
        """The same in `values` on the host: they come over while others are decoded."""
        for leaves, found in self._decoded(parts, 0, self._leaf_values):
            values[leaves] = on_host(found)

    def cells(self, parts: Sequence[Part], lod: int) -> Iterator[tuple[Chunk, TileReader, int, Cells]]:
        """Chunk, streams, component, and cells of 2**lod voxels, which share rows; the last component comes last."""
        tiles = {id(part): reader for part, reader in parts}
        cells = lambda *decoded: self._cells(*decoded, lod)  # noqa: E731
        for boxes, domains, coded, components in self._decoded(parts, lod, cells):
            tables = np.split(boxes.table.cpu().numpy(), np.cumsum(boxes.sizes.prod(1))[:-1])
            for component, values in enumerate(components):
                for part, table, size in zip(domains, tables, boxes.sizes, strict=True):
                    yield part, tiles[id(part)], component, (table.reshape(size), values, coded)

    def _decoded(
        self, parts: Sequence[Part], lod: int, made: Callable[[Batch, Tower, list[torch.Tensor]], Result]
    ) -> Iterator[Result]:
        """What is made of each batch and its lattice values (R, 512) int32, of each component, while it is there."""
        networks = {device: self._networks(torch.device(device)) for device in self.devices}
        work = lambda some, device: made(*self._batch(some, networks[device], device, lod))  # noqa: E731
        return deal(parts, lambda item: len(item[0].leaves), self.devices, work)

    def _networks(self, device: torch.device) -> Networks:
        return Networks(self.networks, self.tables, device, mean=self.promise.mode.lattice is LatticeKind.MEAN)

    def _batch(
        self, some: list[Part], networks: Networks, device: str, lod: int
    ) -> tuple[Batch, Tower, list[torch.Tensor]]:
        batch = load(self.tree, [part for part, _ in some], torch.device(device), self.implementation)
        lattice = mean if self.promise.mode.lattice is LatticeKind.MEAN else sample
        tower = mean.floors_of(batch) if self.promise.mode.lattice is LatticeKind.MEAN else sample.levels_of(batch)
        found = []
        for component in range(self.components):
            streams = Streams([_decoders(tiles, component, lod) for _, tiles in some], device)
            found.append(lattice.decode(batch, tower, component, self.promise.quantiser, networks, streams, lod))
            streams.finish()
        return batch, tower, found

    def _leaf_values(self, batch: Batch, _: Tower, components: list[torch.Tensor]) -> tuple[np.ndarray, torch.Tensor]:
        """Which leaves, and their values (B, 512, C), ready."""
        coded, found = batch.coded[: batch.boxes.bricks] != 0, batch.leaves
        for component, decoded in enumerate(components):
            values = values_of(self.promise, decoded[: len(coded)], found.dtype)
            found[..., component] = torch.where(coded, values, found[..., component])
        if found.is_cuda:
            torch.cuda.current_stream(found.device).synchronize()
        return np.concatenate([part.leaves for part in batch.parts]), found

    def _cells(
        self, batch: Batch, tower: Tower, components: list[torch.Tensor], lod: int
    ) -> tuple[Boxes, Sequence[Chunk], np.ndarray, list[np.ndarray]]:
        """Boxes of a level, domains, what is coded there (B, 512) uint8, and values of each component."""
        if self.promise.mode.lattice is LatticeKind.MEAN:
            boxes, coded = tower[3 * lod].boxes, (tower[3 * lod].counts > 0).to(torch.uint8)
        else:
            boxes, coded = tower[lod].boxes, batch.coded
            for level in tower[1 : lod + 1]:
                coded = sample.joined(coded, level.rows)
        return boxes, batch.parts, coded[: boxes.bricks].cpu().numpy(), [found.cpu().numpy() for found in components]


def _decoders(tiles: TileReader, component: int, lod: int) -> dict[int, object]:
    """Decoders of a domain's payloads by the octave they begin with, as far as they are needed."""
    return {o: tiles.decoder(o, component) for o in range(LAYERS - lod) if tiles.begins(o)}
