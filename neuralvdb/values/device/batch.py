"""Some chunks of a grid on a device: their boxes, masks and values, and the lattice values known before decoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Targets
from neuralvdb.kernels.compact import compact
from neuralvdb.kernels.neighbours import Neighbours, find_neighbours
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.quantiser import nearest
from neuralvdb.values.lattice.chunks import Chunk, Quantiser
from neuralvdb.values.lattice.constants import SLOTS
from neuralvdb.values.lossless import by_component
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True, kw_only=True)
class Batch:
    """R bricks on a device, the B leaves of all chunks first, then K constants.

    chunks: those of the batch, in order;
    boxes: of level 0;
    active, coded: (R, 512) uint8, whether a voxel is active, and active in a leaf;
    leaves: (B, 512, C), the tree's values, 0 where they are to be decoded;
    constants: (K, C), on the host;
    implementation: of kernels.
    """

    chunks: Sequence[Chunk]
    boxes: Boxes
    active: torch.Tensor
    coded: torch.Tensor
    leaves: torch.Tensor
    constants: np.ndarray
    implementation: str

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.active.device

    def neighbours(self, boxes: Boxes) -> Neighbours:
        """The bricks around each brick of boxes."""
        return find_neighbours(boxes.table, boxes.shapes, boxes.cells, implementation=self.implementation)

    def blank_values(self, component: int, quantiser: Quantiser) -> torch.Tensor:
        """Lattice values (R, 512) int32 of a component before decoding, 0 where they are to be decoded."""
        values = torch.empty(self.active.shape, dtype=torch.int32, device=self.device)
        values[: self.boxes.bricks] = nearest(self.leaves[..., component], quantiser)
        constants = quantiser.nearest(self.constants[:, component, None])
        values[self.boxes.bricks :] = torch.from_numpy(constants).to(self.device)
        return values.masked_fill_(self.coded != 0, 0)

    def targets(self, boxes: Boxes, flags: torch.Tensor, passes: torch.Tensor, count: int) -> list[Targets]:
        """The points of each pass where flags (R, 512) uint8 are set, chunk after chunk; passes: (512,) uint8, the
        pass of each offset, of `count`."""
        bricks = boxes.bricks
        points, begins = compact(flags[:bricks], passes.to(self.device), count, implementation=self.implementation)
        ends = begins[bricks::bricks].tolist() if bricks else [0] * count
        targets = []
        for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            starts = begins[number * bricks + boxes.starts] - begin
            targets.append(Targets(points=points[begin:end], starts=starts))
        return targets


def load(tree: Tree, chunks: Sequence[Chunk], device: torch.device, implementation: str) -> Batch:
    """A batch of chunks of a tree."""

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    leaves = np.concatenate([chunk.leaves for chunk in chunks])
    coded = torch.zeros((len(leaves) + sum(len(chunk.constants) for chunk in chunks), SLOTS), dtype=torch.uint8)
    coded = coded.to(device)
    coded[: len(leaves)] = unpacked(on_device(tree.leaf.active[leaves]))
    active = coded.clone()
    constants_active = np.concatenate([chunk.constants_active for chunk in chunks]).astype(np.uint8)
    active[len(leaves) :] = on_device(constants_active)[:, None]
    return Batch(
        chunks=chunks,
        boxes=_boxes(tree, chunks, device),
        active=active,
        coded=coded,
        leaves=on_device(by_component(tree.leaf)[leaves]),
        constants=np.concatenate([chunk.constants for chunk in chunks]),
        implementation=implementation,
    )


def _boxes(tree: Tree, chunks: Sequence[Chunk], device: torch.device) -> Boxes:
    """The boxes of chunks: their leaves are the first bricks, their constants come behind the leaves of all."""
    counts = [len(chunk.leaves) for chunk in chunks]
    first = np.cumsum([0, *counts])
    constant = first[-1] + np.cumsum([0, *(len(chunk.constants) for chunk in chunks)])
    tables, cells = [], []
    for d, chunk in enumerate(chunks):
        table = chunk.table.reshape(-1)
        numbers = np.where(table < counts[d], table + first[d], table - counts[d] + constant[d])
        tables.append(numbers.astype(np.int32))
        cells.append(np.concatenate([np.full((counts[d], 1), d), chunk.cells], 1).astype(np.int32))
    return Boxes(
        sizes=np.array([chunk.table.shape for chunk in chunks], np.int64),
        table=torch.from_numpy(np.concatenate(tables)).to(device),
        cells=torch.from_numpy(np.concatenate(cells)).to(device),
        starts=torch.from_numpy(first).to(device),
    )


def unpacked(masks: torch.Tensor) -> torch.Tensor:
    """(N, 512) uint8, 0 or 1, of bits (N, 64) uint8, lowest first."""
    shifts = torch.arange(8, dtype=torch.uint8, device=masks.device)
    return (masks[..., None] >> shifts & 1).reshape(len(masks), SLOTS)
