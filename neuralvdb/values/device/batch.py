"""Some chunks of a grid on a device: their boxes, masks and values, and the lattice values known before decoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.levels import unpack
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.inactive import InactiveLeaves
from neuralvdb.values.device.quantiser import nearest
from neuralvdb.values.lattice.chunks import Chunk, Quantiser
from neuralvdb.values.lossless import by_component
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True, kw_only=True)
class Batch:
    """R bricks on a device, the B leaves of all chunks first, then K constants.

    chunks: those of the batch, in order;
    boxes: of level 0;
    masks: (B, 64) uint8, the active voxels of leaves, on the host;
    active, coded: (R, 512) uint8, whether a voxel is active, and active in a leaf;
    leaves: (B, 512, C), values; 0 where they are to be decoded;
    reference: (B, 512, C), what a reference says of active voxels; None where there is none;
    constants: (K, C), and constants_active: (K,) bool, on the host;
    implementation: of kernels.
    """

    chunks: Sequence[Chunk]
    boxes: Boxes
    masks: np.ndarray
    active: torch.Tensor
    coded: torch.Tensor
    leaves: torch.Tensor
    reference: torch.Tensor | None
    constants: np.ndarray
    constants_active: np.ndarray
    implementation: str

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.active.device

    def blank_values(self, component: int, quantiser: Quantiser) -> torch.Tensor:
        """Lattice values (R, 512) int32 of a component before decoding, 0 where they are to be decoded."""
        values = torch.empty(self.active.shape, dtype=torch.int32, device=self.device)
        values[: self.boxes.bricks] = nearest(self.leaves[..., component], quantiser)
        values[: self.boxes.bricks].masked_fill_(self.coded[: self.boxes.bricks] != 0, 0)
        values[self.boxes.bricks :] = self._on_device(quantiser.nearest(self.constants[:, component, None]))
        return values

    def blank_constants(self, component: int, quantiser: Quantiser) -> torch.Tensor:
        """The same, but 0 in all leaves and where a constant is not active."""
        values = torch.zeros(self.active.shape, dtype=torch.int32, device=self.device)
        constants = quantiser.nearest(self.constants[:, component, None])
        values[self.boxes.bricks :] = self._on_device(constants * self.constants_active[:, None])
        return values

    def whole_reference(self, component: int, quantiser: Quantiser) -> torch.Tensor:
        """Lattice values (R, 512) int32 of a component of the reference where they are coded, else 0."""
        assert self.reference is not None
        values = torch.zeros(self.active.shape, dtype=torch.int32, device=self.device)
        coded = self.coded[: self.boxes.bricks] != 0
        values[: self.boxes.bricks] = nearest(self.reference[..., component], quantiser).masked_fill_(~coded, 0)
        return values

    def _on_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def load(
    tree: Tree,
    chunks: Sequence[Chunk],
    device: torch.device,
    implementation: str,
    inactive: InactiveLeaves | None = None,
    reference: np.ndarray | None = None,
) -> Batch:
    """A batch of chunks of a tree, with the tree's values or, where they are to be decoded, with the inactive ones.

    reference: (N, 512, C) values, what a reference says of active voxels of the tree.
    """

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    leaves = np.concatenate([chunk.leaves for chunk in chunks])
    masks, constants_active = tree.leaf.active[leaves], np.concatenate([chunk.constants_active for chunk in chunks])
    bits = on_device(masks)
    flags = unpack(bits, on_device(constants_active.view(np.uint8)), implementation=implementation)
    active, coded = flags.unbind()
    if inactive is None:
        values = on_device(by_component(tree.leaf)[leaves])
    else:
        values = inactive.of(on_device(leaves), bits, implementation)
    return Batch(
        chunks=chunks,
        boxes=_boxes(chunks),
        masks=masks,
        active=active,
        coded=coded,
        leaves=values,
        reference=None if reference is None else on_device(reference[leaves]),
        constants=np.concatenate([chunk.constants for chunk in chunks]),
        constants_active=constants_active,
        implementation=implementation,
    )


def _boxes(chunks: Sequence[Chunk]) -> Boxes:
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
        table=np.concatenate(tables),
        cells=np.concatenate(cells),
        starts=first,
        children=np.zeros((0, 8), np.int64),
    )
