"""Twin of values/lattice/residual.py in Triton: how many raw bits points have says where each point's are.

A program takes a block of points of one stream. The first kernel notes how many low bits and escapes each block has,
the second one reads how long escaped values are, and notes their bits; the third one puts everything together. What
all blocks before its own have a program sums up itself: there are few, and caches hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Destination, Predictions

if TYPE_CHECKING:
    from neuralvdb.kernels.reconstruct import RawBits

BLOCK = 1024  # as in the package


@triton.jit
def _first_block(p_starts, stream, BLOCK: tl.constexpr):
    """The number of a stream's first block: no stream needs more than lie between two of them."""
    return tl.load(p_starts + stream) // BLOCK + stream


@triton.jit
def _block(i_block, p_starts, D, BLOCK: tl.constexpr):
    """Of a block: its stream, the stream's first block and the one behind its last, its points (BLOCK,), and which are
    there."""
    stream, high = i_block * 0, i_block * 0 + D
    while high - stream > 1:
        middle = (stream + high) >> 1
        is_behind = _first_block(p_starts, middle, BLOCK) > i_block
        stream = tl.where(is_behind, stream, middle)
        high = tl.where(is_behind, middle, high)
    first = _first_block(p_starts, stream, BLOCK)
    o_n = tl.load(p_starts + stream) + (i_block - first) * BLOCK + tl.arange(0, BLOCK)
    return stream, first, _first_block(p_starts, stream + 1, BLOCK), o_n, o_n < tl.load(p_starts + stream + 1)


@triton.jit
def _sum(p_sums, first, end):
    """The sum of some numbers."""
    o_s = tl.arange(0, 512)
    b_total = tl.zeros((512,), tl.int64)
    at = first
    while at < end:
        b_total += tl.load(p_sums + at + o_s, mask=at + o_s < end, other=0)
        at += 512
    return tl.sum(b_total, 0)


@triton.jit
def _raw(p_symbols, p_classes, o_n, m_n):
    """Of points: low bits (BLOCK,) int32, and whether each is an escape."""
    b_width = tl.maximum((tl.load(p_classes + o_n, mask=m_n, other=0).to(tl.int32) >> 2) - 5, 0)
    return b_width, m_n & (tl.load(p_symbols + o_n, mask=m_n, other=0) == 63)


@triton.jit
def _bits(p_words, b_at, b_width, b_end, m_n):
    """The b_width bits (M,) int32, 24 at most, from bit b_at on; 0 beyond b_end."""
    b_valid = tl.minimum(tl.maximum(b_end - b_at, 0), b_width.to(tl.int64)).to(tl.int32)
    m_n = m_n & (b_valid > 0)
    b_low = tl.load(p_words + (b_at >> 5), mask=m_n, other=0).to(tl.uint32, bitcast=True)
    b_high = tl.load(p_words + (b_at >> 5) + 1, mask=m_n, other=0).to(tl.uint32, bitcast=True)
    b_both = (b_high.to(tl.uint64) << 32) | b_low.to(tl.uint64)
    return ((b_both >> (b_at & 31).to(tl.uint64)) & ((1 << b_valid) - 1).to(tl.uint64)).to(tl.int32)


# notes and lists of points are pieces of longer ones, which begin anywhere
@triton.jit(do_not_specialize=["D"], do_not_specialize_on_alignment=["p_sums", "p_before"])
def _measure(
    p_symbols, p_classes, p_starts, p_at, p_selected, p_sums, p_before, D, BLOCK: tl.constexpr
):  # fmt: skip
    """Low bits of a block and, in the upper half, its escapes; and where its stream's bits begin, before that moves."""
    i_block = tl.program_id(0).to(tl.int64)
    stream, first, _last, o_n, m_n = _block(i_block, p_starts, D, BLOCK)
    b_width, m_escape = _raw(p_symbols, p_classes, o_n, m_n)
    tl.store(p_sums + i_block, tl.sum(b_width.to(tl.int64) | (m_escape.to(tl.int64) << 32), 0))
    if i_block == first:
        entry = stream
        if p_selected is not None:
            entry = tl.load(p_selected + stream)
        tl.store(p_before + stream, tl.load(p_at + entry))


@triton.jit
def _escape_sizes(p_words, begin, m_escape, before, end):
    """Bits (BLOCK,) int32 of escaped values; before: escapes in earlier blocks."""
    b_rank = before + tl.cumsum(m_escape.to(tl.int32), 0) - 1
    return tl.minimum(_bits(p_words, begin + 5 * b_rank, tl.where(m_escape, 5, 0), end, m_escape), 24)


@triton.jit(do_not_specialize=["D"], do_not_specialize_on_alignment=["p_sums", "p_before", "p_sizes"])
def _sizes(
    p_symbols, p_classes, p_starts, p_words, p_end, p_selected, p_sums, p_before, p_sizes, D, BLOCK: tl.constexpr
):  # fmt: skip
    """Bits of the escaped values of a block."""
    i_block = tl.program_id(0).to(tl.int64)
    stream, first, last, o_n, m_n = _block(i_block, p_starts, D, BLOCK)
    size = first * 0
    if (tl.load(p_sums + i_block) >> 32) > 0:
        _b_width, m_escape = _raw(p_symbols, p_classes, o_n, m_n)
        before, total = _sum(p_sums, first, i_block), _sum(p_sums, first, last)
        entry = stream
        if p_selected is not None:
            entry = tl.load(p_selected + stream)
        begin = tl.load(p_before + stream) + (total & 0xFFFFFFFF)
        b_size = _escape_sizes(p_words, begin, m_escape, before >> 32, tl.load(p_end + entry))
        size = tl.sum(b_size.to(tl.int64), 0)
    tl.store(p_sizes + i_block, size)


@triton.jit(
    do_not_specialize=["D", "quant_step"],
    do_not_specialize_on_alignment=["p_sums", "p_before", "p_sizes", "p_targets"],
)
def _reconstruct(
    p_symbols, p_classes, p_predictions, p_targets, p_starts, p_words, p_at, p_end, p_selected, p_sums, p_before,
    p_sizes, p_values, p_known, D, quant_step, BLOCK: tl.constexpr,
):  # fmt: skip
    i_block = tl.program_id(0).to(tl.int64)
    stream, first, last, o_n, m_n = _block(i_block, p_starts, D, BLOCK)
    entry = stream
    if p_selected is not None:
        entry = tl.load(p_selected + stream)
    b_width, m_escape = _raw(p_symbols, p_classes, o_n, m_n)
    before, total = _sum(p_sums, first, i_block), _sum(p_sums, first, last)
    begin, end = tl.load(p_before + stream), tl.load(p_end + entry)
    b_low = _bits(p_words, begin + (before & 0xFFFFFFFF) + tl.cumsum(b_width, 0) - b_width, b_width, end, m_n)
    b_zigzag = tl.load(p_symbols + o_n, mask=m_n, other=0).to(tl.int64)
    behind = begin + (total & 0xFFFFFFFF)  # what follows the low bits
    if (tl.load(p_sums + i_block) >> 32) > 0:
        b_size = _escape_sizes(p_words, behind, m_escape, before >> 32, end)
        b_at = behind + 5 * (total >> 32) + _sum(p_sizes, first, i_block) + tl.cumsum(b_size, 0) - b_size
        b_zigzag = tl.where(m_escape, _bits(p_words, b_at, b_size, end, m_escape).to(tl.int64) - 1, b_zigzag)
    b_high = tl.where(b_zigzag & 1 != 0, -((b_zigzag + 1) >> 1), b_zigzag >> 1)
    b_residual = (b_high << b_width.to(tl.int64)) + b_low.to(tl.int64)
    b_value = tl.load(p_predictions + o_n, mask=m_n, other=0) + b_residual * quant_step
    b_value = tl.minimum(tl.maximum(b_value, -(1 << 28)), 1 << 28).to(tl.int32)
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0).to(tl.int64)
    tl.store(p_values + b_target, b_value, mask=m_n)
    if p_known is not None:
        tl.store(p_known + b_target, tl.full((BLOCK,), 1, tl.uint8), mask=m_n)
    if i_block == first:
        tl.store(p_at + entry, behind + 5 * (total >> 32) + _sum(p_sizes, first, last))


def reconstruct(
    symbols: torch.Tensor, predictions: Predictions, destination: Destination, quant_step: int, bits: RawBits
) -> None:
    """Arguments as in the package."""
    n, streams = len(symbols), bits.streams
    if not n:
        return
    blocks, starts, classes = n // BLOCK + streams, destination.targets.starts, predictions.scale_classes
    scratch = bits.scratch
    if scratch is None:
        scratch = torch.empty(2 * blocks + streams, dtype=torch.int64, device=symbols.device)
    sums, sizes, before = scratch.split([blocks, blocks, streams])
    grid, selected = (blocks,), bits.selected
    _measure[grid](symbols, classes, starts, bits.at, selected, sums, before, streams, BLOCK)
    _sizes[grid](symbols, classes, starts, bits.words, bits.end, selected, sums, before, sizes, streams, BLOCK)
    _reconstruct[grid](
        symbols, classes, predictions.values, destination.targets.points, starts, bits.words, bits.at, bits.end,
        selected, sums, before, sizes, destination.values, destination.known, streams, quant_step, BLOCK, num_warps=8,
    )  # fmt: skip
