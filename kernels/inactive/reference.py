"""torch transcription of values/inactive.py (restore): one leaf after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from neuralvdb.kernels.inactive import Inactive


def restore(inactive: Inactive, leaves: torch.Tensor, masks: torch.Tensor, values: torch.Tensor) -> None:
    """Arguments as in the package."""
    for brick, leaf in enumerate(leaves.tolist()):
        selected, begin = int(inactive.selected[leaf]), int(inactive.begins[leaf])
        is_inactive = ~_unpacked(masks[brick])
        values[brick] = inactive.first[leaf]
        if selected >= 0:
            values[brick, _unpacked(inactive.selection[selected])] = inactive.second[leaf]
        if begin >= 0:
            values[brick, is_inactive] = inactive.stored[begin : begin + int(is_inactive.sum())]
        values[brick, ~is_inactive] = 0


def _unpacked(bits: torch.Tensor) -> torch.Tensor:
    """(512,) bool of (64,) uint8."""
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    return (bits[:, None] >> shifts & 1).reshape(-1) != 0
