"""Twin of values/lattice/reference.py, values/lattice/correction_network.py and values/lattice/nearby.py in Triton: a
thread takes a point; reference.py says it step by step.

Sums of blocks are added to by atomic operations on integers, whose order does not matter, in a launch of their own:
nothing reads them meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.network.gpu import joined
from neuralvdb.kernels.predict.gpu import log2
from neuralvdb.kernels.split.gpu import divide_down

if TYPE_CHECKING:
    from neuralvdb.kernels.correct import PassView, Weights

BLOCK = 128  # a point per thread
SMALL = 512  # where there is little to do for each


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["p_targets"])
def _innovations(p_exact, p_predictions, p_targets, p_values, p_known, p_innovations, n, BLOCK: tl.constexpr):
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0).to(tl.int64)
    b_value = tl.load(p_exact + b_target, mask=m_n, other=0)
    b_prediction = tl.load(p_predictions + o_n, mask=m_n, other=0)
    tl.store(p_innovations + o_n, (b_value.to(tl.int64) - b_prediction).to(tl.int32), mask=m_n)
    tl.store(p_values + b_target, b_value, mask=m_n)
    if p_known is not None:
        tl.store(p_known + b_target, tl.full((BLOCK,), 1, tl.uint8), mask=m_n)


@triton.jit
def _correct(p_predictions, p_classes, o_n, m_n, b_value, b_class):
    """Writes corrected predictions int64 and scale classes int32, clamped."""
    tl.store(p_predictions + o_n, tl.minimum(tl.maximum(b_value, -(1 << 30)), 1 << 30), mask=m_n)
    tl.store(p_classes + o_n, tl.minimum(tl.maximum(b_class, 0), 63).to(tl.uint8), mask=m_n)


@triton.jit(do_not_specialize=["n", "gain", "quant_step", "shift0", "shift1", "shift2", "shift3", "shift4"])
def _by_gain(
    p_predictions, p_classes, p_innovations, n, gain, quant_step, shift0, shift1, shift2, shift3, shift4,
    BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_innovation = tl.load(p_innovations + o_n, mask=m_n, other=0).to(tl.int64)
    b_value = tl.load(p_predictions + o_n, mask=m_n, other=0) + ((b_innovation * gain + 8) >> 4)
    b_size = 16 * tl.abs(b_innovation)
    b_shift = tl.where(b_size >= 4 * quant_step, shift1, shift0)
    b_shift = tl.where(b_size >= 11 * quant_step, shift2, b_shift)
    b_shift = tl.where(b_size >= 32 * quant_step, shift3, b_shift)
    b_shift = tl.where(b_size >= 96 * quant_step, shift4, b_shift)
    b_class = tl.load(p_classes + o_n, mask=m_n, other=0).to(tl.int32) + b_shift
    _correct(p_predictions, p_classes, o_n, m_n, b_value, b_class)


@triton.jit
def _block_of(b_offset):
    """The block of 2x2x2 points that each offset of a brick lies in."""
    return ((b_offset >> 7) & 3) * 16 + ((b_offset >> 4) & 3) * 4 + ((b_offset >> 1) & 3)


@triton.jit
def _log2_wide(x):
    """In 1/16, of positive int64 below 2^50: of five leading bits, which 32 bits hold."""
    m_wide = x >= 1 << 30
    return log2(tl.where(m_wide, x >> 20, x).to(tl.int32)) + tl.where(m_wide, 320, 0)


@triton.jit
def _clipped(x):
    """An input, int8, of int32."""
    return tl.minimum(tl.maximum(x, -127), 127).to(tl.int8)


@triton.jit
def _inputs_of(sums, step, b_width, FACTOR: tl.constexpr):
    """Four inputs of a block: how many points; mean sizes beside the width, 0 where there are no points."""
    m_any = sums[0] > 0
    b_steps = tl.maximum(sums[0], 1).to(tl.int32) * step
    b_least = log2(b_steps) + 64 + b_width
    inputs = (_clipped(sums[0].to(tl.int32) * FACTOR),)
    for K in tl.static_range(1, 4):
        inputs += (_clipped(tl.where(m_any, _log2_wide(16 * sums[K] + b_steps) - b_least, 0)),)
    return inputs


@triton.jit
def _mean(sums):
    """The mean of e - r (M,) int64, halves rounded up; 0 where there are no points."""
    return divide_down(2 * sums[4] + sums[0], 2 * tl.maximum(sums[0], 1))


@triton.jit
def _large(p_sums, b_row, b_block, m_n):
    """Sums of the blocks of 4x4x4 points that blocks of 2x2x2 lie in."""
    b_first = b_row * 320 + (b_block & 42)  # the block of 2x2x2 at its corner: bits 5, 3 and 1
    sums = ()
    for K in tl.static_range(5):
        b_sum = tl.zeros_like(b_row)
        for AT in tl.static_range(8):
            o_corner = 64 * K + AT // 4 * 16 + AT // 2 % 2 * 4 + AT % 2
            b_sum += tl.load(p_sums + b_first + o_corner, mask=m_n, other=0)
        sums += (b_sum,)
    return sums


@triton.jit
def _small(p_sums, b_row, b_block, m_n):
    """Sums of blocks of 2x2x2 points."""
    sums = ()
    for K in tl.static_range(5):
        sums += (tl.load(p_sums + b_row * 320 + 64 * K + b_block, mask=m_n, other=0),)
    return sums


@triton.jit
def _above(p_above, p_parents, b_row, b_offset, bricks, split_axes, m_n):
    """Sums of the blocks of the level above that points lie in, 0 where there are none."""
    b_parent = tl.load(p_parents + b_row, mask=m_n, other=0)
    b_x = ((b_parent >> 2) & 1) * 2 + (((b_offset >> 6) & 7) >> (1 + ((split_axes >> 2) & 1)))
    b_y = ((b_parent >> 1) & 1) * 2 + (((b_offset >> 3) & 7) >> (1 + ((split_axes >> 1) & 1)))
    b_z = (b_parent & 1) * 2 + ((b_offset & 7) >> (1 + (split_axes & 1)))
    b_brick = (b_parent >> 3).to(tl.int64)
    return _small(p_above, b_brick, b_x * 16 + b_y * 4 + b_z, m_n & (b_brick < bricks))


@triton.jit
def _outputs(inputs, p_w1, p_b1, p_w2, p_b2, p_shifts):
    """Four outputs (M,) int32 of 23 inputs (M,) int8."""
    o_k = tl.arange(0, 32)
    columns = inputs
    for _ in tl.static_range(32 - len(inputs)):
        columns += (tl.zeros_like(inputs[0]),)
    b_w1 = tl.load(p_w1 + o_k[:, None] * 32 + o_k[None, :])
    b_h = tl.dot(joined(columns, 5), tl.trans(b_w1), out_dtype=tl.int32)
    b_h = (b_h + tl.load(p_b1 + o_k)[None, :]) >> tl.load(p_shifts)
    b_h = tl.minimum(tl.maximum(b_h, 0), 255)
    outputs = ()
    for K in tl.static_range(4):
        b_sum = tl.sum(b_h * tl.load(p_w2 + 32 * K + o_k)[None, :], 1) + tl.load(p_b2 + K)
        outputs += (b_sum >> tl.load(p_shifts + 1 + K),)
    return outputs


@triton.jit
def _factor(b_out):
    """What an output is multiplied by, int64."""
    return tl.minimum(tl.maximum(b_out, -127), 127).to(tl.int64)


@triton.jit(
    do_not_specialize=["n", "level", "axis", "phase", "quant_step", "step_above", "bricks", "split_axes"],
    do_not_specialize_on_alignment=["p_targets", "p_parents"],
)
def _by_network(
    p_predictions, p_classes, p_innovations, p_targets, p_before, p_sums, p_above, p_parents, p_w1, p_b1, p_w2, p_b2,
    p_shifts, n, level, axis, phase, quant_step, step_above, bricks, split_axes, BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0)
    b_row, b_offset = (b_target >> 9).to(tl.int64), b_target & 511
    b_block = _block_of(b_offset)
    b_class = tl.load(p_classes + o_n, mask=m_n, other=0).to(tl.int32)
    b_innovation = tl.load(p_innovations + o_n, mask=m_n, other=0).to(tl.int64)
    b_width = 4 * (b_class - 16)
    b_none = tl.zeros((BLOCK,), tl.int32)
    b_size = _log2_wide(16 * tl.abs(b_innovation) + quant_step) - log2(b_none + quant_step) - 64
    large, small = _large(p_sums, b_row, b_block, m_n), _small(p_sums, b_row, b_block, m_n)
    inputs = (_clipped(b_width), _clipped(b_size), _clipped(b_size - b_width))
    inputs += _inputs_of(large, quant_step, b_width, 2)
    inputs += _inputs_of(small, quant_step, b_width, 16)
    if p_above is not None:
        above = _above(p_above, p_parents, b_row, b_offset, bricks, split_axes, m_n)
        inputs += _inputs_of(above, step_above, b_width, 16)
    else:
        for _ in tl.static_range(4):
            inputs += (b_none.to(tl.int8),)
    for LEVEL in tl.static_range(4):
        inputs += (tl.where(b_none + level == LEVEL, 127, 0).to(tl.int8),)
    for AXIS in tl.static_range(3):
        inputs += (tl.where(b_none + axis == AXIS, 127, 0).to(tl.int8),)
    inputs += (tl.where(b_none + phase == 1, 127, 0).to(tl.int8),)
    out = _outputs(inputs, p_w1, p_b1, p_w2, p_b2, p_shifts)
    b_more = _factor(out[0]) * b_innovation + _factor(out[1]) * _mean(large) + _factor(out[2]) * _mean(small)
    b_value = tl.load(p_predictions + o_n, mask=m_n, other=0)
    tl.store(p_before + o_n, b_value.to(tl.int32), mask=m_n)
    b_class += tl.minimum(tl.maximum(out[3], -32), 32)
    _correct(p_predictions, p_classes, o_n, m_n, b_value + ((b_more + 32) >> 6), b_class)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["p_targets"])
def _add(p_values, p_before, p_innovations, p_targets, p_sums, n, BLOCK: tl.constexpr):
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0).to(tl.int64)
    b_error = tl.load(p_values + b_target, mask=m_n, other=0).to(tl.int64)
    b_error -= tl.load(p_before + o_n, mask=m_n, other=0)
    b_innovation = tl.load(p_innovations + o_n, mask=m_n, other=0).to(tl.int64)
    b_apart = b_error - b_innovation
    p_block = p_sums + (b_target >> 9) * 320 + _block_of(b_target & 511)
    tl.atomic_add(p_block, tl.full((BLOCK,), 1, tl.int64), mask=m_n, sem="relaxed")
    tl.atomic_add(p_block + 64, tl.abs(b_error), mask=m_n, sem="relaxed")
    tl.atomic_add(p_block + 128, tl.abs(b_innovation), mask=m_n, sem="relaxed")
    tl.atomic_add(p_block + 192, tl.abs(b_apart), mask=m_n, sem="relaxed")
    tl.atomic_add(p_block + 256, b_apart, mask=m_n, sem="relaxed")


def innovations_of(reference: torch.Tensor, predictions: Predictions, destination: Destination) -> torch.Tensor:
    """(n,) int32; arguments as in the package."""
    points = destination.targets.points
    n, innovations = len(points), torch.empty(len(points), dtype=torch.int32, device=points.device)
    if n:
        _innovations[(triton.cdiv(n, SMALL),)](
            reference, predictions.values, points, destination.values, destination.known, innovations, n, SMALL
        )
    return innovations


def correct_by_gain(
    predictions: Predictions, innovations: torch.Tensor, gain: int, shifts: tuple[int, ...], quant_step: int
) -> None:
    """Arguments as in the package."""
    n = len(innovations)
    if n:
        _by_gain[(triton.cdiv(n, SMALL),)](
            predictions.values, predictions.scale_classes, innovations, n, gain, quant_step, *shifts, SMALL
        )


def correct_by_network(
    predictions: Predictions,
    innovations: torch.Tensor,
    points: torch.Tensor,
    weights: Weights,
    view: PassView,
) -> torch.Tensor:
    """(n,) int32; arguments as in the package."""
    n, before, above = len(points), torch.empty_like(innovations), view.above
    sums, parents = (None, None) if above is None else (above.sums, above.parents)
    step, bricks, split_axes = (0, 0, 0) if above is None else (above.step, len(above.sums), above.split_axes)
    if n:
        _by_network[(triton.cdiv(n, BLOCK),)](
            predictions.values, predictions.scale_classes, innovations, points, before, view.sums, sums, parents,
            weights.w1, weights.b1, weights.w2, weights.b2, weights.shifts, n, min(view.level, 3), view.axis,
            view.phase, view.quant_step, step, bricks, split_axes, BLOCK,
        )  # fmt: skip
    return before


def add_errors(destination: Destination, before: torch.Tensor, innovations: torch.Tensor, sums: torch.Tensor) -> None:
    """Arguments as in the package."""
    n = len(before)
    if n:
        _add[(triton.cdiv(n, SMALL),)](
            destination.values, before, innovations, destination.targets.points, sums, n, SMALL
        )
