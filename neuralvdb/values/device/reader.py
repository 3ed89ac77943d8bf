"""Leaf values of a grid decoded on devices, some domains at a time, as many as memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from neuralvdb.archive.rans import Tables
from neuralvdb.values.device import mean, sample
from neuralvdb.values.device.batch import Batch, load, values_of
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.deal import deal
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice.domain import Domain
from neuralvdb.values.lattice.levels import OCTAVES
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.priors import Key
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.values.tiles import TileReader
from neuralvdb.volume.grid import Tree

Part = tuple[Domain, TileReader]
Cells = tuple[np.ndarray, np.ndarray, np.ndarray]  # table, values (R, 512) and coded (B, 512) as in levels.Level
Decoded = tuple[Batch, list, int, torch.Tensor]  # batch, its levels or floors, component, lattice values


@dataclass
class DeviceDecoder:
    """devices: to deal domains out to, such as "cuda:0"; "cpu" is for kernels that are interpreted."""

    tree: Tree
    promise: Promise
    networks: dict[Key, Network]
    tables: Tables
    components: int
    devices: Sequence[str]
    implementation: str = "triton"

    def values(self, parts: Sequence[Part]) -> torch.Tensor:
        """(N, 512, C) values of all leaves on the first device, of the tree's type; exceptions are not in it.

        Raises DamagedFile, OutOfMemory.
        """
        found = torch.from_numpy(by_component(self.tree.leaf)).to(self.devices[0], copy=True)
        for batch, _, component, decoded in self._decoded(parts, 0):
            bricks = batch.boxes.bricks
            leaves = torch.from_numpy(np.concatenate([part.leaves for part in batch.parts])).to(found.device)
            values = values_of(self.promise, decoded[:bricks], found.dtype)
            mixed = torch.where(batch.coded[:bricks] != 0, values, batch.leaves[..., component])
            found[leaves, :, component] = mixed.to(found.device)
        return found

    def cells(self, parts: Sequence[Part], lod: int) -> Iterator[tuple[Domain, TileReader, int, Cells]]:
        """Domain, streams, component, and cells of 2**lod voxels, which share rows; the last component comes last."""
        tiles = {id(part): reader for part, reader in parts}
        for batch, tower, component, decoded in self._decoded(parts, lod):
            boxes, coded = self._cells(batch, tower, lod)
            values, coded = decoded.cpu().numpy(), coded[: boxes.bricks].cpu().numpy()
            tables = np.split(boxes.table.cpu().numpy(), np.cumsum(boxes.sizes.prod(1))[:-1])
            for part, table, size in zip(batch.parts, tables, boxes.sizes, strict=True):
                yield part, tiles[id(part)], component, (table.reshape(size), values, coded)

    def _decoded(self, parts: Sequence[Part], lod: int) -> Iterator[Decoded]:
        """Lattice values (R, 512) of every batch and component."""
        networks = {device: self._networks(torch.device(device)) for device in self.devices}
        work = lambda some, device: self._batch(some, networks[device], device, lod)  # noqa: E731
        for found in deal(parts, lambda item: len(item[0].leaves), self.devices, work):
            yield from found

    def _networks(self, device: torch.device) -> Networks:
        return Networks(self.networks, self.tables, device, mean=self.promise.step > 0)

    def _batch(self, some: list[Part], networks: Networks, device: str, lod: int) -> list[Decoded]:
        batch = load(self.tree, [part for part, _ in some], torch.device(device), self.implementation)
        lattice = mean if self.promise.step else sample
        tower = mean.floors_of(batch) if self.promise.step else sample.levels_of(batch)
        found = []
        for component in range(self.components):
            streams = Streams([_decoders(tiles, component, lod) for _, tiles in some], device)
            decoded = lattice.decode(batch, tower, component, self.promise.lattice, networks, streams, lod)
            streams.finish()
            found.append((batch, tower, component, decoded))
        return found

    def _cells(self, batch: Batch, tower: list, lod: int) -> tuple[Boxes, torch.Tensor]:
        """Boxes of a level and what is coded there (R, 512) uint8."""
        if self.promise.step:
            return tower[3 * lod].boxes, (tower[3 * lod].counts > 0).to(torch.uint8)
        coded = batch.coded
        for level in tower[1 : lod + 1]:
            coded = sample.joined(coded, level.rows)
        return tower[lod].boxes, coded


def _decoders(tiles: TileReader, component: int, lod: int) -> dict[int, object]:
    """Decoders of a domain's payloads by the octave they begin with, as far as they are needed."""
    return {o: tiles.decoder(o, component) for o in range(OCTAVES - lod) if tiles.begins(o)}
