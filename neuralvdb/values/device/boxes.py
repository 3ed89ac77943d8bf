"""The boxes of many domains as one table on a device, and how one of coarser cells follows from it.

Letters in shapes: D domains, T cells of all their boxes, R rows, B of them with something to be coded, which come
first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Boxes:
    """sizes: (D, 3) int64 in cells, on the host; table: (T,) int32, row of each cell, box after box; cells: (B, 4)
    int32, box, x, y, z of each row with something to be coded; starts: (D + 1,) int64, the rows of each box."""

    sizes: np.ndarray
    table: torch.Tensor
    cells: torch.Tensor
    starts: torch.Tensor

    @property
    def bricks(self) -> int:
        """B."""
        return len(self.cells)

    @property
    def shapes(self) -> torch.Tensor:
        """(D, 4) int64: where each box begins in the table, and its sizes."""
        first = np.cumsum([0, *self.sizes.prod(1)])[:-1]
        return torch.from_numpy(np.concatenate([first[:, None], self.sizes], 1)).to(self.table.device)


def flat(shapes: torch.Tensor, box: torch.Tensor, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Places in the table of cells of boxes."""
    first, _, ny, nz = shapes[box].unbind(1)
    return first + (x * ny + y) * nz + z


def halved(below: Boxes, coded: torch.Tensor, axis: int | None) -> tuple[Boxes, torch.Tensor]:
    """Boxes of cells twice as long along an axis, or along all where it is None, and rows (R, 2 or 8) int64 joined by
    each.

    coded: (R,) bool, whether a row of `below` has anything to be coded. Cells are numbered axis by axis, the given one
    last.
    """
    factors = np.array([2 if axis in (None, other) else 1 for other in range(3)])
    order = [0, 1, 2] if axis is None else [*(other for other in range(3) if other != axis), axis]
    sizes = below.sizes // factors
    box, cell = _enumerated(sizes, order, below.table.device)
    steps = torch.cartesian_prod(*(torch.arange(f, device=box.device) for f in factors)).reshape(-1, 3)
    children = [
        flat(below.shapes, box, *(c * int(f) + s for c, f, s in zip(cell, factors, step, strict=True)))
        for step in steps
    ]
    rows = below.table[torch.stack(children, 1)].long()
    needed = coded[rows].any(1)
    kept, rest = rows[needed], rows[~needed]
    others, which = torch.unique(rest, dim=0, return_inverse=True) if len(rest) else (rest, rest[:, 0])
    number = torch.empty(len(rows), dtype=torch.int64, device=box.device)
    number[needed] = torch.arange(len(kept), device=box.device)
    number[~needed] = len(kept) + which
    above = Boxes(sizes, number.to(torch.int32), _cells(box, cell, needed), _starts(box[needed], len(sizes)))
    above.table[flat(above.shapes, box, *cell)] = number.to(torch.int32)
    return above, torch.cat([kept, others])


def _enumerated(sizes: np.ndarray, order: list[int], device: torch.device) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Box (T,) and coordinates, three of (T,), of all cells, the last axis of `order` running fastest."""
    counts = sizes.prod(1)
    total = int(counts.sum())
    numbers = torch.arange(len(sizes), device=device)
    box = torch.repeat_interleave(numbers, torch.from_numpy(counts).to(device), output_size=total)
    rest = torch.arange(total, device=device) - torch.from_numpy(np.cumsum([0, *counts])[:-1]).to(device)[box]
    dims = torch.from_numpy(sizes).to(device)[box]
    cell = [rest] * 3
    for axis in reversed(order):
        cell[axis] = rest % dims[:, axis]
        rest = rest // dims[:, axis]
    return box, cell


def _cells(box: torch.Tensor, cell: list[torch.Tensor], needed: torch.Tensor) -> torch.Tensor:
    return torch.stack([box, *cell], 1)[needed].to(torch.int32)


def _starts(box: torch.Tensor, count: int) -> torch.Tensor:
    """(count + 1,) int64: where each box begins among sorted ones (n,)."""
    return torch.searchsorted(box.contiguous(), torch.arange(count + 1, device=box.device))
