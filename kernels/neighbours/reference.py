"""torch transcription of values/lattice/inputs.py: 27 look-ups per brick at coordinates clamped to its box."""

from __future__ import annotations

import torch

from neuralvdb.kernels.bricks import Neighbours


def find_neighbours(table: torch.Tensor, boxes: torch.Tensor, cells: torch.Tensor) -> Neighbours:
    """The bricks around B bricks; arguments as in the package."""
    offsets = torch.cartesian_prod(*[torch.arange(-1, 2, device=table.device)] * 3)
    box, cell = boxes[cells[:, 0].long()], cells[:, 1:].long()
    last = box[:, 1:] - 1
    x, y, z = (cell[:, None] + offsets).clamp(min=0).minimum(last[:, None]).unbind(2)
    first, _, ny, nz = (column[:, None] for column in box.unbind(1))
    bits = torch.tensor([1, 2, 4], device=table.device)
    edges = ((cell == 0) * bits + (cell == last) * bits * 8).sum(1)
    return Neighbours(bricks=table[first + (x * ny + y) * nz + z], edges=edges.to(torch.uint8))
