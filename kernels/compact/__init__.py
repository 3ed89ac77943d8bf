"""The places that are set in masks of bricks, pass by pass."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen

NONE = 255


def compact(
    flags: torch.Tensor, passes: torch.Tensor, count: int, *, implementation: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets (n,) int32, row * 512 + place, in order of passes, rows and places, and offsets (count * B + 1,) int64.

    flags: (B, 512) uint8, what is set is not 0; passes: (512,) uint8, the pass of each place, 255 for none; count:
    passes. offsets[p * B + b] is where pass p has brick b. Waits for the device once, for n. Raises ValueError on
    other shapes or types.
    """
    checked("flags", flags, torch.uint8, None, 512)
    checked("passes", passes, torch.uint8, 512)
    return chosen(__name__, "compact", implementation, flags)(flags, passes, count)
