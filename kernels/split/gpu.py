"""Splitting in Triton: a program takes 256 cells of a brick; its bisection ends with the widest gap among them.

Twin of values/lattice/mean_pyramid.py.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 256


@triton.jit
def _expanded(c, knee, COMPANDED: tl.constexpr):
    """Lattice values of companded ones, int64, clamped to +-2^28."""
    if COMPANDED:
        size = tl.abs(c)
        octave = tl.minimum(tl.maximum(size // knee - 1, 0), 31)
        size = (size - knee * octave) << octave
        c = tl.where(c < 0, -size, size)
    return tl.minimum(tl.maximum(c, -(1 << 28)), 1 << 28)


@triton.jit
def _companded(x, knee, COMPANDED: tl.constexpr):
    """Companded values, int32, of lattice values within 2^28."""
    if COMPANDED:
        size = tl.abs(x)
        quotient = tl.maximum(size // knee, 1).to(tl.int32)
        octave = (((quotient & ~(quotient >> 1)).to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127).to(tl.int64)
        size = knee * octave + (size >> octave)
        x = tl.where(x < 0, -size, size)
    return x.to(tl.int32)


@triton.jit
def _floor_div(a, b):
    """a div b, rounded down, of int64; b is above 0."""
    quotient = a // b
    return tl.where(quotient * b > a, quotient - 1, quotient)


@triton.jit(do_not_specialize=["knee"])
def _split(
    p_means, p_values, p_gaps, p_pairs, p_counts, p_fine_means, p_fine_values, knee,
    SHIFT: tl.constexpr, COMPANDED: tl.constexpr, POSITIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    o_c = i_b * 512 + o_p
    knee = knee.to(tl.int64)
    o_a = ((o_p >> SHIFT) & 7) * 2
    o_rest = o_p - ((o_p >> SHIFT) & 7) * (1 << SHIFT)
    o_first = tl.load(p_pairs + i_b * 2 + (o_a >> 3)) * 512 + o_rest + ((o_a & 7) << SHIFT)
    o_second = o_first + (1 << SHIFT)
    b_first = tl.load(p_counts + o_first).to(tl.int64)
    b_second = tl.load(p_counts + o_second).to(tl.int64)
    b_mean = tl.load(p_means + o_c).to(tl.int64)
    b_middle = tl.load(p_values + o_c).to(tl.int64)
    b_gap = tl.load(p_gaps + o_c).to(tl.int64)
    m_swapped = b_gap < 0
    b_gap = tl.where((b_first > 0) & (b_second > 0), tl.abs(b_gap), 0)
    b_most = tl.where(m_swapped, b_second, b_first)
    b_least = tl.where(m_swapped, b_first, b_second)
    b_total = (b_most + b_least) * b_mean
    b_low = b_middle - b_gap - 1
    b_high = b_middle + 1
    while tl.max(b_high - b_low, 0) > 1:
        b_at = (b_low + b_high) >> 1
        b_sum = b_most * _expanded(b_at + b_gap, knee, COMPANDED) + b_least * _expanded(b_at, knee, COMPANDED)
        m_fits = b_sum <= b_total
        b_low, b_high = tl.where(m_fits, b_at, b_low), tl.where(m_fits, b_high, b_at)
    b_large = _expanded(b_low + b_gap, knee, COMPANDED)
    b_left = b_total - b_most * b_large - b_least * _expanded(b_low, knee, COMPANDED)
    b_one = tl.maximum(b_most, 1)
    b_large += _floor_div(b_left, b_one)
    if POSITIVE:
        b_large = tl.where(b_low < 0, _floor_div(b_total, b_one), b_large)
    b_large = tl.minimum(tl.maximum(b_large, -(1 << 28)), 1 << 28)
    b_small = _floor_div(b_total - b_most * b_large, tl.maximum(b_least, 1))
    b_small = tl.minimum(tl.maximum(b_small, -(1 << 28)), 1 << 28)
    b_large, b_small = tl.where(b_least == 0, b_mean, b_large), tl.where(b_most == 0, b_mean, b_small)
    b_half = tl.where(m_swapped, b_small, b_large)
    tl.store(p_fine_means + o_first, b_half.to(tl.int32), mask=b_first > 0)
    tl.store(p_fine_values + o_first, _companded(b_half, knee, COMPANDED), mask=b_first > 0)
    b_half = tl.where(m_swapped, b_large, b_small)
    tl.store(p_fine_means + o_second, b_half.to(tl.int32), mask=b_second > 0)
    tl.store(p_fine_values + o_second, _companded(b_half, knee, COMPANDED), mask=b_second > 0)


def split(
    means: torch.Tensor,
    values: torch.Tensor,
    gaps: torch.Tensor,
    pairs: torch.Tensor,
    counts: torch.Tensor,
    axis: int,
    knee: int,
    positive: bool,
    fine_means: torch.Tensor,
    fine_values: torch.Tensor,
) -> None:
    """Arguments as in the package."""
    if len(pairs):
        _split[(len(pairs), 512 // BLOCK)](
            means,
            values,
            gaps,
            pairs,
            counts,
            fine_means,
            fine_values,
            knee,
            (6, 3, 0)[axis],
            knee > 0,
            positive,
            BLOCK,
        )
