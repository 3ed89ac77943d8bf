"""The boxes of many chunks as one table on a device, and how the boxes of coarser cells follow from them.

Letters in shapes: D chunks, T cells of all their boxes, R bricks, the first B of them with points to be coded.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from neuralvdb.dataclass import dataclass

Coordinates = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """D boxes of cells.

    sizes: (D, 3) int64 in cells, on the host;
    table: (T,) int32, the brick in each cell, box after box;
    cells: (B, 4) int32, box, x, y, z of each brick with points to be coded;
    starts: (D + 1,) int64, where the bricks of each box begin.
    """

    sizes: np.ndarray
    table: torch.Tensor
    cells: torch.Tensor
    starts: torch.Tensor

    @property
    def bricks(self) -> int:
        """B."""
        return len(self.cells)

    @cached_property
    def shapes(self) -> torch.Tensor:
        """(D, 4) int64: where each box begins in the table, and its sizes."""
        first = np.cumsum([0, *self.sizes.prod(1)])[:-1]
        return torch.from_numpy(np.concatenate([first[:, None], self.sizes], 1)).to(self.table.device)

    def index_of(self, box: torch.Tensor, cell: Coordinates) -> torch.Tensor:
        """Where cells of boxes (n,) stand in the table."""
        x, y, z = cell
        first, _, ny, nz = self.shapes[box].unbind(1)
        return first + (x * ny + y) * nz + z

    def parents(self, coarse: Boxes) -> tuple[torch.Tensor, torch.Tensor]:
        """For each brick to be coded the coarser brick, of cells twice as long, that it lies in, (B,) int64, and its
        octant there, (B,) int64."""
        box, x, y, z = self.cells.long().unbind(1)
        parent = coarse.table[coarse.index_of(box, (x // 2, y // 2, z // 2))].long()
        return parent, (x % 2 * 2 + y % 2) * 2 + z % 2


def downsample(fine: Boxes, coded: torch.Tensor, axis: int | None) -> tuple[Boxes, torch.Tensor]:
    """Boxes of cells twice as long along an axis, or along all where it is None, and the finer bricks (R, 2 or 8) int64
    that each coarser brick joins.

    coded: (R,) bool, whether a brick of `fine` has points to be coded. Cells are numbered axis by axis, the given one
    last.
    """
    factors = np.array([2 if axis in (None, other) else 1 for other in range(3)])
    order = [0, 1, 2] if axis is None else [*(other for other in range(3) if other != axis), axis]
    sizes = fine.sizes // factors
    box, cell = _enumerated(sizes, order, fine.table.device)
    children = fine.table[torch.stack(_children(fine, box, cell, factors), 1)].long()
    needed = coded[children].any(1)
    kept, constant = children[needed], children[~needed]
    # bricks without points to be coded are shared by all cells that join the same finer bricks
    shared, which = torch.unique(constant, dim=0, return_inverse=True) if len(constant) else (constant, constant[:, 0])
    number = torch.empty(len(children), dtype=torch.int64, device=box.device)
    number[needed] = torch.arange(len(kept), device=box.device)
    number[~needed] = len(kept) + which
    cells = torch.stack([box, *cell], 1)[needed].to(torch.int32)
    starts = torch.searchsorted(box[needed].contiguous(), torch.arange(len(sizes) + 1, device=box.device))
    coarse = Boxes(sizes=sizes, table=number.to(torch.int32), cells=cells, starts=starts)
    coarse.table[coarse.index_of(box, cell)] = number.to(torch.int32)
    return coarse, torch.cat([kept, shared])


def _children(fine: Boxes, box: torch.Tensor, cell: Coordinates, factors: np.ndarray) -> list[torch.Tensor]:
    """Where the finer cells in each cell stand in the table of `fine`."""
    fx, fy, fz = (int(factor) for factor in factors)
    offsets = [(i, j, k) for i in range(fx) for j in range(fy) for k in range(fz)]
    x, y, z = cell
    return [fine.index_of(box, (x * fx + i, y * fy + j, z * fz + k)) for i, j, k in offsets]


def _enumerated(sizes: np.ndarray, order: list[int], device: torch.device) -> tuple[torch.Tensor, Coordinates]:
    """Box (T,) and coordinates, three of (T,), of all cells, the last axis of `order` running fastest."""
    counts = sizes.prod(1)
    total = int(counts.sum())
    numbers = torch.arange(len(sizes), device=device)
    box = torch.repeat_interleave(numbers, torch.from_numpy(counts).to(device), output_size=total)
    index = torch.arange(total, device=device) - torch.from_numpy(np.cumsum([0, *counts])[:-1]).to(device)[box]
    dims = torch.from_numpy(sizes).to(device)[box]
    cell = [index] * 3
    for axis in reversed(order):
        cell[axis] = index % dims[:, axis]
        index = index // dims[:, axis]
    return box, (cell[0], cell[1], cell[2])
