"""Twin of values/lattice/points.py in Triton: a program counts the set flags of a brick; after a prefix sum another one
lists them. reference.py says it step by step.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["B"])
def _count(p_flags, p_passes, p_counts, B, COUNT: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    b_set = tl.load(p_flags + i_b * 512 + o_p) != 0
    b_pass = tl.load(p_passes + o_p)
    for i_pass in tl.static_range(COUNT):
        tl.store(p_counts + i_pass * B.to(tl.int64) + i_b, tl.sum((b_set & (b_pass == i_pass)).to(tl.int64), 0))


@triton.jit(do_not_specialize=["B"])
def _list(p_flags, p_passes, p_starts, p_points, B, COUNT: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    b_set = tl.load(p_flags + i_b * 512 + o_p) != 0
    b_pass = tl.load(p_passes + o_p)
    for i_pass in tl.static_range(COUNT):
        m_p = b_set & (b_pass == i_pass)
        o_t = tl.load(p_starts + i_pass * B.to(tl.int64) + i_b) + tl.cumsum(m_p.to(tl.int32), 0) - 1
        tl.store(p_points + o_t, (i_b * 512 + o_p).to(tl.int32), mask=m_p)


def compact(flags: torch.Tensor, passes: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n,) int32 and starts (count * B + 1,) int64; arguments as in the package."""
    bricks = len(flags)
    starts = torch.zeros(count * bricks + 1, dtype=torch.int64, device=flags.device)
    if not bricks:
        return torch.empty(0, dtype=torch.int32, device=flags.device), starts
    counts = torch.empty(count * bricks, dtype=torch.int64, device=flags.device)
    _count[(bricks,)](flags, passes, counts, bricks, count)
    torch.cumsum(counts, 0, out=starts[1:])
    points = torch.empty(int(starts[-1]), dtype=torch.int32, device=flags.device)
    _list[(bricks,)](flags, passes, starts, points, bricks, count)
    return points, starts
