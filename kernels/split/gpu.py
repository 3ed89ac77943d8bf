"""Twin of values/lattice/mean_pyramid.py and values/lattice/compand.py in Triton: a program splits 256 cells of a
brick; its bisection ends with the widest difference among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

if TYPE_CHECKING:
    from neuralvdb.kernels.split import Cells, Companding, Halves

BLOCK = 256


@triton.jit
def _expanded(c, knee, COMPANDED: tl.constexpr):
    """Lattice values of companded ones, int64, clamped to +-2^28."""
    if COMPANDED:
        size = tl.abs(c)
        segment = tl.minimum(tl.maximum(size // knee - 1, 0), 31)
        size = (size - knee * segment) << segment
        c = tl.where(c < 0, -size, size)
    return tl.minimum(tl.maximum(c, -(1 << 28)), 1 << 28)


@triton.jit
def companded(x, knee, COMPANDED: tl.constexpr):
    """Companded values, int32, of lattice values within 2^28."""
    if COMPANDED:
        size = tl.abs(x)
        quotient = tl.maximum(size // knee, 1).to(tl.int32)
        segment = (((quotient & ~(quotient >> 1)).to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127).to(tl.int64)
        size = knee * segment + (size >> segment)
        x = tl.where(x < 0, -size, size)
    return x.to(tl.int32)


@triton.jit
def divide_down(a, b):
    """a div b, rounded down, of int64; b is above 0."""
    quotient = a // b
    return tl.where(quotient * b > a, quotient - 1, quotient)


@triton.jit(do_not_specialize=["knee"])
def _split(
    p_means, p_companded, p_differences, p_pairs, p_counts, p_fine_means, p_fine_companded, knee,
    SHIFT: tl.constexpr, COMPANDED: tl.constexpr, NONNEGATIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    o_c = i_b * 512 + o_p
    knee = knee.to(tl.int64)
    o_a = ((o_p >> SHIFT) & 7) * 2
    o_across = o_p - ((o_p >> SHIFT) & 7) * (1 << SHIFT)
    o_first = tl.load(p_pairs + i_b * 2 + (o_a >> 3)) * 512 + o_across + ((o_a & 7) << SHIFT)
    o_second = o_first + (1 << SHIFT)
    b_first = tl.load(p_counts + o_first).to(tl.int64)
    b_second = tl.load(p_counts + o_second).to(tl.int64)
    b_mean = tl.load(p_means + o_c).to(tl.int64)
    b_middle = tl.load(p_companded + o_c).to(tl.int64)
    b_difference = tl.load(p_differences + o_c).to(tl.int64)
    m_swapped = b_difference < 0
    b_difference = tl.where((b_first > 0) & (b_second > 0), tl.abs(b_difference), 0)
    b_more = tl.where(m_swapped, b_second, b_first)
    b_less = tl.where(m_swapped, b_first, b_second)
    b_total = (b_more + b_less) * b_mean
    b_low = b_middle - b_difference - 1
    b_high = b_middle + 1
    while tl.max(b_high - b_low, 0) > 1:
        b_at = (b_low + b_high) >> 1
        b_sum = b_more * _expanded(b_at + b_difference, knee, COMPANDED) + b_less * _expanded(b_at, knee, COMPANDED)
        m_fits = b_sum <= b_total
        b_low, b_high = tl.where(m_fits, b_at, b_low), tl.where(m_fits, b_high, b_at)
    b_large = _expanded(b_low + b_difference, knee, COMPANDED)
    b_left = b_total - b_more * b_large - b_less * _expanded(b_low, knee, COMPANDED)
    b_one = tl.maximum(b_more, 1)
    b_large += divide_down(b_left, b_one)
    if NONNEGATIVE:
        b_large = tl.where(b_low < 0, divide_down(b_total, b_one), b_large)
    b_large = tl.minimum(tl.maximum(b_large, -(1 << 28)), 1 << 28)
    b_small = divide_down(b_total - b_more * b_large, tl.maximum(b_less, 1))
    b_small = tl.minimum(tl.maximum(b_small, -(1 << 28)), 1 << 28)
    b_large, b_small = tl.where(b_less == 0, b_mean, b_large), tl.where(b_more == 0, b_mean, b_small)
    b_half = tl.where(m_swapped, b_small, b_large)
    tl.store(p_fine_means + o_first, b_half.to(tl.int32), mask=b_first > 0)
    tl.store(p_fine_companded + o_first, companded(b_half, knee, COMPANDED), mask=b_first > 0)
    b_half = tl.where(m_swapped, b_large, b_small)
    tl.store(p_fine_means + o_second, b_half.to(tl.int32), mask=b_second > 0)
    tl.store(p_fine_companded + o_second, companded(b_half, knee, COMPANDED), mask=b_second > 0)


def split(cells: Cells, halves: Halves, companding: Companding) -> None:
    """Arguments as in the package."""
    if len(halves.pairs):
        _split[(len(halves.pairs), 512 // BLOCK)](
            cells.means, cells.companded, cells.differences, halves.pairs, halves.counts, halves.means,
            halves.companded, companding.knee, (6, 3, 0)[halves.axis], companding.knee > 0, companding.nonnegative,
            BLOCK,
        )  # fmt: skip
