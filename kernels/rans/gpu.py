"""rANS in Triton: a program, one warp, per segment; its lanes take a symbol each per turn.

Lanes whose state fell below 2^16 take words in the order of their symbols: a prefix sum over the warp says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from neuralvdb.kernels.rans import Segments


@triton.jit
def _decode(
    p_slots, p_classes, p_starts, p_stream, p_number, p_count, p_lanes, p_states, p_words, p_at, p_end, p_seen,
    p_symbols,
):  # fmt: skip
    i_segment = tl.program_id(0).to(tl.int64)
    p_start = p_starts + tl.load(p_stream + i_segment)
    first = tl.load(p_start)
    n = tl.load(p_start + 1) - first
    number = tl.load(p_number + i_segment).to(tl.int64)
    count = tl.load(p_count + i_segment)
    begin = first + number * n // count
    end = first + (number + 1) * n // count
    lanes = tl.load(p_lanes + i_segment)
    seen = tl.load(p_seen + i_segment)
    at = tl.load(p_at + i_segment)
    last = tl.load(p_end + i_segment)
    o_l = tl.arange(0, 32)
    b_x = tl.load(p_states + i_segment * 32 + o_l).to(tl.uint32, bitcast=True)
    here = begin - seen % lanes
    while here < end:
        o_i = here + o_l
        m_i = (o_l < lanes) & (o_i >= begin) & (o_i < end)
        b_class = tl.load(p_classes + o_i, mask=m_i, other=0).to(tl.int64)
        b_slot = tl.load(p_slots + b_class * 4096 + (b_x & 4095), mask=m_i, other=0).to(tl.uint32, bitcast=True)
        tl.store(p_symbols + o_i, (b_slot & 255).to(tl.uint8), mask=m_i)
        b_next = (((b_slot >> 8) & 4095) + 1) * (b_x >> 12) + (b_slot >> 20)
        m_low = m_i & (b_next < 65536)
        b_taken = m_low.to(tl.int32)
        o_w = at + tl.cumsum(b_taken, 0) - b_taken
        b_word = tl.load(p_words + o_w, mask=m_low & (o_w < last), other=0).to(tl.uint16, bitcast=True)
        b_next = tl.where(m_low, (b_next << 16) | b_word.to(tl.uint32), b_next)
        b_x = tl.where(m_i, b_next, b_x)
        at += tl.sum(b_taken, 0)
        here += lanes
    tl.store(p_states + i_segment * 32 + o_l, b_x.to(tl.int32, bitcast=True))
    tl.store(p_at + i_segment, at)
    tl.store(p_seen + i_segment, seen + end - begin)


def decode(slots: torch.Tensor, classes: torch.Tensor, starts: torch.Tensor, segments: Segments) -> torch.Tensor:
    """Symbols (n,) uint8; arguments as in the package."""
    symbols = torch.empty(len(classes), dtype=torch.uint8, device=classes.device)
    s = segments
    if len(s.stream):
        _decode[(len(s.stream),)](
            slots, classes, starts, s.stream, s.number, s.count, s.lanes, s.states, s.words, s.at, s.end, s.seen,
            symbols, num_warps=1,
        )  # fmt: skip
    return symbols
