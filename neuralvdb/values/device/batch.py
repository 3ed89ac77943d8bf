"""Some chunks of a grid on a device: their boxes, masks and values, and the lattice values known before decoding.

Each component of a chunk is coded as if it were a chunk of its own: all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.levels import unpack
from neuralvdb.values.device.boxes import Boxes, of_components
from neuralvdb.values.device.inactive import InactiveLeaves
from neuralvdb.values.device.quantiser import nearest
from neuralvdb.values.lattice.chunks import Chunk, Quantiser
from neuralvdb.values.lossless import by_component
from neuralvdb.volume.grid import Tree


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Bricks on a device: of each of C components the B leaves of all chunks, then of each of them K constants.

    chunks: those of the batch, in order;
    components: C;
    boxes: of level 0, of one component;
    masks: (B, 64) uint8, the active voxels of leaves, on the host;
    active, coded: (C (B + K), 512) uint8, whether a voxel is active, and active in a leaf;
    leaves: (C B, 512), values; 0 where they are to be decoded;
    reference: (C B, 512), what a reference says of active voxels; None where there is none;
    constants: (C K,), and constants_active: (C K,) bool, on the host;
    implementation: of kernels.
    """

    chunks: Sequence[Chunk]
    components: int
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

    @property
    def bricks(self) -> int:
        """C (B + K)."""
        return len(self.active)

    def rows(self, component: int) -> slice:
        """The bricks that are the leaves of a component."""
        return slice(component * self.boxes.bricks, (component + 1) * self.boxes.bricks)

    def levels(self, boxes: Sequence[Boxes]) -> list[Boxes]:
        """The boxes of levels of one component, voxels first, once for each component."""
        if self.components == 1:
            return list(boxes)
        return of_components(boxes, self.components, self.bricks // self.components)

    def blank_values(self, quantiser: Quantiser) -> torch.Tensor:
        """Lattice values int32 of all bricks before decoding, 0 where they are to be decoded."""
        values, leaves = torch.empty(self.active.shape, dtype=torch.int32, device=self.device), len(self.leaves)
        values[:leaves] = nearest(self.leaves, quantiser)
        values[:leaves].masked_fill_(self.coded[:leaves] != 0, 0)
        values[leaves:] = self._on_device(quantiser.nearest(self.constants[:, None]))
        return values

    def blank_constants(self, quantiser: Quantiser) -> torch.Tensor:
        """The same, but 0 in all leaves and where a constant is not active."""
        values = torch.zeros(self.active.shape, dtype=torch.int32, device=self.device)
        constants = quantiser.nearest(self.constants[:, None])
        values[len(self.leaves) :] = self._on_device(constants * self.constants_active[:, None])
        return values

    def whole_reference(self, quantiser: Quantiser) -> torch.Tensor:
        """Lattice values int32 of the reference where they are coded, else 0."""
        assert self.reference is not None
        values, leaves = torch.zeros(self.active.shape, dtype=torch.int32, device=self.device), len(self.leaves)
        values[:leaves] = nearest(self.reference, quantiser).masked_fill_(self.coded[:leaves] == 0, 0)
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
    constants = np.concatenate([chunk.constants for chunk in chunks])
    count = constants.shape[1]
    flags = unpack(
        bits.repeat(count, 1),
        on_device(constants_active.view(np.uint8)).repeat(count),
        implementation=implementation,
    )
    active, coded = flags.unbind()
    if inactive is None:
        values = on_device(by_component(tree.leaf)[leaves])
    else:
        values = inactive.of(on_device(leaves), bits, implementation)
    return Batch(
        chunks=chunks,
        components=count,
        boxes=_boxes(chunks),
        masks=masks,
        active=active,
        coded=coded,
        leaves=_apart(values),
        reference=None if reference is None else _apart(on_device(reference[leaves])),
        constants=constants.T.reshape(-1),
        constants_active=np.tile(constants_active, count),
        implementation=implementation,
    )


def _apart(values: torch.Tensor) -> torch.Tensor:
    """(C B, 512), one component after the other, of values (B, 512, C)."""
    return values.permute(2, 0, 1).reshape(-1, values.shape[1])


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
