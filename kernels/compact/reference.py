"""The definition, in plain torch: a list of what is set for each pass.

Twin of values/lattice/levels.py.
"""

from __future__ import annotations

import torch


def compact(flags: torch.Tensor, passes: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets (n,) int32 and offsets (count * B + 1,) int64; arguments as in the package."""
    mine = [(flags != 0) & (passes == p) for p in range(count)]
    targets = torch.cat([torch.nonzero(m.reshape(-1))[:, 0] for m in mine])
    counts = torch.cat([torch.zeros(1, dtype=torch.int64, device=flags.device), *(m.sum(1) for m in mine)])
    return targets.to(torch.int32), counts.cumsum(0)
