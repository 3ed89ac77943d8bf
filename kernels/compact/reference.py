"""torch transcription of values/lattice/points.py: a list of the set flags for each pass."""

from __future__ import annotations

import torch


def compact(flags: torch.Tensor, passes: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n,) int32 and starts (count * B + 1,) int64; arguments as in the package."""
    in_pass = [(flags != 0) & (passes == p) for p in range(count)]
    points = torch.cat([torch.nonzero(m.reshape(-1))[:, 0] for m in in_pass])
    counts = torch.cat([torch.zeros(1, dtype=torch.int64, device=flags.device), *(m.sum(1) for m in in_pass)])
    return points.to(torch.int32), counts.cumsum(0)
