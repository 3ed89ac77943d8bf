"""The bricks around each brick: what a stencil needs instead of a dense volume."""

from __future__ import annotations

import torch

from neuralvdb.kernels.bricks import Neighbours
from neuralvdb.kernels.dispatch import checked, select

__all__ = ["Neighbours", "find_neighbours"]


def find_neighbours(
    table: torch.Tensor, boxes: torch.Tensor, cells: torch.Tensor, *, implementation: str = "auto"
) -> Neighbours:
    """The bricks around B bricks. Coordinates beyond a box are brought back into it.

    table: (T,) int32, the brick in each cell, box after box;
    boxes: (D, 4) int64, where each begins in the table and its cells along x, y, z;
    cells: (B, 4) int32, box, x, y, z of each brick.

    Raises ValueError on other shapes or types.
    """
    checked("table", table, torch.int32, None)
    checked("boxes", boxes, torch.int64, None, 4)
    checked("cells", cells, torch.int32, None, 4)
    return select(__name__, "find_neighbours", implementation, table)(table, boxes, cells)
