"""Twin of values/lattice/residual.py in Triton: prefix sums over the batch say where each point's raw bits stand, then
all points are one pass.

Streams are told apart by bisection in their starts, which all programs share and the cache holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Destination, Predictions

if TYPE_CHECKING:
    from neuralvdb.kernels.reconstruct import RawBits

BLOCK = 512


@triton.jit
def _stream_of(p_starts, o_n, D):
    """The stream (M,) int64 that has point o_n: the last one that does not begin behind it."""
    b_low = tl.zeros_like(o_n)
    b_high = tl.zeros_like(o_n) + D
    left = D
    while left > 1:
        b_middle = (b_low + b_high) >> 1
        m_right = (tl.load(p_starts + b_middle) <= o_n) & (b_high - b_low > 1)
        b_low = tl.where(m_right, b_middle, b_low)
        b_high = tl.where(m_right, b_high, tl.maximum(b_middle, b_low + 1))
        left = (left + 1) >> 1
    return b_low


@triton.jit
def _bits(p_words, b_at, b_width, b_end, m_n):
    """The b_width bits (M,) int32, 24 at most, from bit b_at on; 0 beyond b_end."""
    b_valid = tl.minimum(tl.maximum(b_end - b_at, 0), b_width.to(tl.int64)).to(tl.int32)
    m_n = m_n & (b_valid > 0)
    b_low = tl.load(p_words + (b_at >> 5), mask=m_n, other=0).to(tl.uint32, bitcast=True)
    b_high = tl.load(p_words + (b_at >> 5) + 1, mask=m_n, other=0).to(tl.uint32, bitcast=True)
    b_both = (b_high.to(tl.uint64) << 32) | b_low.to(tl.uint64)
    return ((b_both >> (b_at & 31).to(tl.uint64)) & ((1 << b_valid) - 1).to(tl.uint64)).to(tl.int32)


@triton.jit(do_not_specialize=["n"])
def _measure(p_symbols, p_classes, p_counts, n, BLOCK: tl.constexpr):
    """Low bits of a point and, in the upper half, whether it is an escape."""
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_class = tl.load(p_classes + o_n, mask=m_n, other=0).to(tl.int32)
    b_width = tl.maximum((b_class >> 2) - 5, 0).to(tl.int64)
    b_escape = (tl.load(p_symbols + o_n, mask=m_n, other=0) == 63).to(tl.int64)
    tl.store(p_counts + o_n, b_width | (b_escape << 32), mask=m_n)


@triton.jit(do_not_specialize=["n", "D"])
def _sizes(
    p_symbols, p_sums, p_starts, p_words, p_at, p_end, p_sizes, n, D, BLOCK: tl.constexpr
):  # fmt: skip
    """How many bits each escaped value has; 0 for all others."""
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    m_escape = m_n & (tl.load(p_symbols + o_n, mask=m_n, other=0) == 63)
    b_stream = _stream_of(p_starts, tl.minimum(o_n, n - 1), D)
    b_first = tl.load(p_sums + tl.load(p_starts + b_stream))
    b_last = tl.load(p_sums + tl.load(p_starts + b_stream + 1))
    b_rank = (tl.load(p_sums + o_n, mask=m_n, other=0) >> 32) - (b_first >> 32)
    b_low = (b_last & 0xFFFFFFFF) - (b_first & 0xFFFFFFFF)
    b_at = tl.load(p_at + b_stream) + b_low + 5 * b_rank
    b_size = _bits(p_words, b_at, tl.where(m_escape, 5, 0), tl.load(p_end + b_stream), m_escape)
    tl.store(p_sizes + o_n, tl.minimum(b_size, 24).to(tl.uint8), mask=m_n)


@triton.jit(do_not_specialize=["n", "D", "quant_step"])
def _reconstruct(
    p_symbols, p_classes, p_predictions, p_targets, p_sums, p_sized, p_starts, p_words, p_at, p_end, p_values, p_known,
    n, D, quant_step, BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_stream = _stream_of(p_starts, tl.minimum(o_n, n - 1), D)
    o_first = tl.load(p_starts + b_stream)
    b_first = tl.load(p_sums + o_first)
    b_last = tl.load(p_sums + tl.load(p_starts + b_stream + 1))
    b_begin = tl.load(p_at + b_stream)
    b_end = tl.load(p_end + b_stream)
    b_symbol = tl.load(p_symbols + o_n, mask=m_n, other=0).to(tl.int64)
    b_width = tl.maximum((tl.load(p_classes + o_n, mask=m_n, other=0).to(tl.int32) >> 2) - 5, 0)
    b_before = (tl.load(p_sums + o_n, mask=m_n, other=0) & 0xFFFFFFFF) - (b_first & 0xFFFFFFFF)
    b_low = _bits(p_words, b_begin + b_before, b_width, b_end, m_n)
    b_rest = (b_last & 0xFFFFFFFF) - (b_first & 0xFFFFFFFF) + 5 * ((b_last >> 32) - (b_first >> 32))
    b_sized = tl.load(p_sized + o_n, mask=m_n, other=0)
    b_size = (tl.load(p_sized + o_n + 1, mask=m_n, other=0) - b_sized).to(tl.int32)
    o_bits = b_begin + b_rest + b_sized - tl.load(p_sized + o_first)
    m_escape = m_n & (b_symbol == 63)
    b_zigzag = tl.where(m_escape, _bits(p_words, o_bits, b_size, b_end, m_escape).to(tl.int64) - 1, b_symbol)
    b_high = tl.where(b_zigzag & 1 != 0, -((b_zigzag + 1) >> 1), b_zigzag >> 1)
    b_residual = (b_high << b_width.to(tl.int64)) + b_low.to(tl.int64)
    b_value = tl.load(p_predictions + o_n, mask=m_n, other=0) + b_residual * quant_step
    b_value = tl.minimum(tl.maximum(b_value, -(1 << 28)), 1 << 28).to(tl.int32)
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0).to(tl.int64)
    tl.store(p_values + b_target, b_value, mask=m_n)
    if p_known is not None:
        tl.store(p_known + b_target, tl.full((BLOCK,), 1, tl.uint8), mask=m_n)


@triton.jit
def _advance(p_sums, p_sized, p_starts, p_at):
    """Moves a stream's place on by the raw bits that its points had."""
    stream = tl.program_id(0).to(tl.int64)
    first, last = tl.load(p_starts + stream), tl.load(p_starts + stream + 1)
    sums, sums_end = tl.load(p_sums + first), tl.load(p_sums + last)
    bits = (sums_end & 0xFFFFFFFF) - (sums & 0xFFFFFFFF) + 5 * ((sums_end >> 32) - (sums >> 32))
    bits += tl.load(p_sized + last) - tl.load(p_sized + first)
    tl.store(p_at + stream, tl.load(p_at + stream) + bits)


def reconstruct(
    symbols: torch.Tensor, predictions: Predictions, destination: Destination, quant_step: int, bits: RawBits
) -> None:
    """Arguments as in the package."""
    n, streams = len(symbols), len(bits.at)
    if not n:
        return
    grid, targets, classes = (triton.cdiv(n, BLOCK),), destination.targets, predictions.scale_classes
    counts = torch.empty(n, dtype=torch.int64, device=symbols.device)
    _measure[grid](symbols, classes, counts, n, BLOCK)
    sums = _sums(counts)
    sizes = torch.empty(n, dtype=torch.uint8, device=symbols.device)
    _sizes[grid](symbols, sums, targets.starts, bits.words, bits.at, bits.end, sizes, n, streams, BLOCK)
    sized = _sums(sizes)
    _reconstruct[grid](
        symbols, classes, predictions.values, targets.points, sums, sized, targets.starts, bits.words, bits.at,
        bits.end, destination.values, destination.known, n, streams, quant_step, BLOCK,
    )  # fmt: skip
    _advance[(streams,)](sums, sized, targets.starts, bits.at, num_warps=1)


def _sums(counts: torch.Tensor) -> torch.Tensor:
    """(n + 1,) int64: the sum of the counts (n,) before each, and of all."""
    sums = torch.zeros(len(counts) + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, dtype=torch.int64, out=sums[1:])
    return sums
