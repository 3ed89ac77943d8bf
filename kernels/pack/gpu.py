"""Twin of archive/rans.py in Triton: each raw value is ORed into the one or two words that it meets."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 512


@triton.jit(do_not_specialize=["m"])
def _pack(p_raw, p_at, p_words, m, BLOCK: tl.constexpr):
    o_m = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_m = o_m < m
    b_at = tl.load(p_at + o_m, mask=m_m, other=0)
    b_value = tl.load(p_raw + o_m, mask=m_m, other=0).to(tl.uint64) << (b_at & 31).to(tl.uint64)
    b_low = (b_value & 0xFFFFFFFF).to(tl.uint32).to(tl.int32, bitcast=True)
    b_high = (b_value >> 32).to(tl.uint32).to(tl.int32, bitcast=True)
    tl.atomic_or(p_words + (b_at >> 5), b_low, mask=m_m & (b_low != 0), sem="relaxed")
    tl.atomic_or(p_words + (b_at >> 5) + 1, b_high, mask=m_m & (b_high != 0), sem="relaxed")


def pack(values: torch.Tensor, at: torch.Tensor, words: torch.Tensor) -> None:
    """Arguments as in the package."""
    if len(values):
        _pack[(triton.cdiv(len(values), BLOCK),)](values, at, words, len(values), BLOCK)
