"""Twin of values/lattice/points.py in Triton: a program counts the set flags of a brick; after a prefix sum another one
lists them. reference.py says it step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Targets

if TYPE_CHECKING:
    from neuralvdb.kernels.compact import Flags


@triton.jit(do_not_specialize=["B", "first"])
def _count(p_flags, p_passes, p_counts, B, first, COUNT: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    b_set = tl.load(p_flags + i_b * 512 + o_p) != 0
    b_pass = tl.load(p_passes + o_p)
    for i_pass in tl.static_range(COUNT):
        o_c = first.to(tl.int64) + i_pass * B.to(tl.int64) + i_b
        tl.store(p_counts + o_c, tl.sum((b_set & (b_pass == i_pass)).to(tl.int64), 0))


@triton.jit(do_not_specialize=["B", "first"])
def _list(p_flags, p_passes, p_starts, p_points, B, first, COUNT: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    b_set = tl.load(p_flags + i_b * 512 + o_p) != 0
    b_pass = tl.load(p_passes + o_p)
    for i_pass in tl.static_range(COUNT):
        m_p = b_set & (b_pass == i_pass)
        o_c = first.to(tl.int64) + i_pass * B.to(tl.int64) + i_b
        o_t = tl.load(p_starts + o_c) + tl.cumsum(m_p.to(tl.int32), 0) - 1
        tl.store(p_points + o_t, (i_b * 512 + o_p).to(tl.int32), mask=m_p)


def compact(levels: Sequence[Flags]) -> list[list[Targets]]:
    """Arguments as in the package."""
    device, streams = levels[0].flags.device, len(levels[0].begins)
    aligned = streams % 2  # a column more, so that starts of passes are aligned, as kernels expect tensors
    first = [0, *accumulate(level.count * level.bricks for level in levels)]
    counts = torch.zeros(first[-1] + 1, dtype=torch.int64, device=device)
    for level, begin in zip(levels, first, strict=False):
        if level.bricks:
            _count[(level.bricks,)](level.flags, level.passes, counts, level.bricks, begin, level.count)
    starts = counts.cumsum(0) - counts
    at = [
        begin + number * level.bricks + brick
        for level, begin in zip(levels, first, strict=False)
        for number in range(level.count)
        for brick in [*level.begins, *[level.bricks] * aligned]
    ]
    bounds = starts[torch.tensor(at).to(device)].view(-1, streams + aligned)
    sizes = [int(last - begin) for begin, *_, last in bounds.cpu().numpy()]
    points = torch.empty(sum(sizes), dtype=torch.int32, device=device)
    for level, begin in zip(levels, first, strict=False):
        if level.bricks:
            _list[(level.bricks,)](level.flags, level.passes, starts, points, level.bricks, begin, level.count)
    pairs = zip(points.split(sizes), (bounds - bounds[:, :1])[:, :streams].unbind(), strict=True)
    listed = (Targets(points=of_pass, starts=relative) for of_pass, relative in pairs)
    return [[next(listed) for _ in range(level.count)] for level in levels]
