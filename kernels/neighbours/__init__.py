"""The bricks around each brick: what a stencil needs instead of a dense volume."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen


def neighbours(
    table: torch.Tensor, boxes: torch.Tensor, cells: torch.Tensor, *, implementation: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (B, 27) int32 of the cells at -1, 0, 1 along x, y, z around bricks, x slowest, and edges (B,) uint8.

    table: (T,) int32, the row of each cell, box after box; boxes: (D, 4) int64, where each begins in the table and its
    cells along x, y, z; cells: (B, 4) int32, box, x, y, z of each brick. What lies beyond a box is brought back into
    it. Bit a of an edge is set where a brick is its box's first along axis a, bit 3 + a where it is the last. Raises
    ValueError on other shapes or types.
    """
    checked("table", table, torch.int32, None)
    checked("boxes", boxes, torch.int64, None, 4)
    checked("cells", cells, torch.int32, None, 4)
    return chosen(__name__, "neighbours", implementation, table)(table, boxes, cells)
