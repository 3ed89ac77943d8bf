"""The set flags of bricks as lists of points, pass by pass."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, select

NONE = 255


def compact(
    flags: torch.Tensor, passes: torch.Tensor, count: int, *, implementation: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n,) int32, in order of passes, bricks and offsets, and starts (count * B + 1,) int64.

    A point is brick * 512 + offset.

    flags: (B, 512) uint8, set where not 0;
    passes: (512,) uint8, the pass of each offset, 255 for none;
    count: of passes.

    starts[p * B + b] is where the points of brick b in pass p begin. The host waits for the device once, for n. Raises
    ValueError on other shapes or types.
    """
    checked("flags", flags, torch.uint8, None, 512)
    checked("passes", passes, torch.uint8, 512)
    return select(__name__, "compact", implementation, flags)(flags, passes, count)
