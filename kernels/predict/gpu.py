"""Twin of values/lattice/sample_inputs.py and values/lattice/mean_inputs.py in Triton.

A thread takes a point from stencil to inputs, tensor cores take a program's points on from there; only the results
touch memory again. SOURCES says, as data, which input each of the network's columns takes.

32 bits are enough nearly everywhere: values lie within 2^28, differences to the base within 2^30. Where the definition
multiplies by 16 before it shifts down, the two shifts are made one, and what would be clipped anyway is clipped before
it can overflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Bricks, Predictions
from neuralvdb.kernels.network.gpu import joined, layers, weights

if TYPE_CHECKING:
    from neuralvdb.kernels.predict import StencilNetwork

BLOCK, WARPS = 128, 4  # a point per thread


@triton.jit
def _floor_log2(x):
    """Of positive int32; the bit below the highest is cleared, so that no rounding to float reaches the next power."""
    return ((x & ~(x >> 1)).to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def log2(x):
    """In 1/16, of positive int32."""
    e = _floor_log2(x)
    return (e << 4) + ((x >> tl.maximum(e - 4, 0)) << tl.maximum(4 - e, 0)) - 16


@triton.jit
def _mean(b_sum, b_count):
    """b_sum // b_count of int64 below 2^38 and int32 below 2^7: two divisions of 32 bits."""
    b_high = (b_sum >> 16).to(tl.int32)
    b_mean = b_high // b_count
    b_rest = ((b_high - b_mean * b_count) << 16) | (b_sum & 65535).to(tl.int32)
    return (b_mean << 16) + b_rest // b_count


@triton.jit
def _scaled(x, e, TOP: tl.constexpr):
    """16 x >> e, clipped to +-TOP, of int32 within 2^30."""
    most = 8 << tl.minimum(e, 27)  # what gives 128
    x = tl.minimum(tl.maximum(x, -most), most)
    return tl.minimum(tl.maximum((x >> tl.maximum(e - 4, 0)) << tl.maximum(4 - e, 0), -TOP), TOP)


@triton.jit
def _line(b_targets, b_edges, axis, pass_axis, unit, STEPS: tl.constexpr, RULE: tl.constexpr):
    """Of STEPS from targets along an axis: offsets (M,) int32 in a brick, shifted to the axis; whether that is the next
    brick; and how far the next brick's number, among the 27, is from the target's own. pass_axis: of the pass."""
    shift = 6 - 3 * axis
    b_here = (b_targets >> shift) & 7
    m_low, m_high = (b_edges >> axis) & 1 != 0, (b_edges >> (3 + axis)) & 1 != 0
    offsets, beyond = (), ()
    for K in tl.static_range(len(STEPS)):
        b_at = b_here + STEPS[K] * unit
        if RULE == "clamped":
            b_below, b_above = 0, 7
        elif RULE == "along":
            b_below, b_above = 0, 14 - b_at
        else:
            b_below, b_above = -b_at, tl.where(pass_axis < axis, 12, 14) - b_at
        b_at = tl.where((b_at < 0) & m_low, b_below, tl.where((b_at > 7) & m_high, b_above, b_at))
        offsets += ((b_at & 7) << shift,)
        beyond += (b_at != (b_at & 7),)
    stride = tl.where(axis == 0, 9, tl.where(axis == 1, 3, 1))
    return offsets, beyond, tl.where(b_here < 4, -stride, stride)  # no step is longer than 4


@triton.jit
def _point(rows, a, u, v, A: tl.constexpr, U: tl.constexpr, V: tl.constexpr):
    """brick * 512 + offset (M,) int32 of steps A, U and V along the three lines. rows: 512 times the eight bricks
    that can be met, the target's first."""
    r0, r1 = tl.where(a[1][A], rows[4], rows[0]), tl.where(a[1][A], rows[5], rows[1])
    r2, r3 = tl.where(a[1][A], rows[6], rows[2]), tl.where(a[1][A], rows[7], rows[3])
    b_row = tl.where(v[1][V], tl.where(u[1][U], r3, r1), tl.where(u[1][U], r2, r0))
    return b_row + (a[0][A] + u[0][U] + v[0][V])


@triton.jit
def _fetch(p_values, p_flags, b_at, m_n):
    """Values and flags (M,) int32."""
    return tl.load(p_values + b_at, mask=m_n, other=0), tl.load(p_flags + b_at, mask=m_n, other=0).to(tl.int32)


@triton.jit
def _extended(line, active):
    """Four points, inactive ones replaced by extrapolation (reference.py)."""
    far, near, beyond, last = line[0], line[1], line[2], line[3]
    a, b, c, d = active[0], active[1], active[2], active[3]
    near_filled = tl.where(b != 0, near, tl.where(c & d != 0, 2 * beyond - last, beyond))
    beyond_filled = tl.where(c != 0, beyond, tl.where(a & b != 0, 2 * near - far, near))
    bend = 3 * (near - beyond)
    before = tl.where(a != 0, far, tl.where(b & c & d != 0, bend + last, 2 * near_filled - beyond_filled))
    behind = tl.where(d != 0, last, tl.where(a & b & c != 0, far - bend, 2 * beyond_filled - near_filled))
    return before, near_filled, beyond_filled, behind


@triton.jit
def _tile(inputs, SOURCES: tl.constexpr, FIRST: tl.constexpr):
    """(M, 64) int8: the columns from FIRST on, each of the input (M,) that SOURCES names."""
    columns = ()
    for K in tl.static_range(64):
        columns += (inputs[SOURCES[FIRST + K]],)
    return joined(columns, 6)


# targets and neighbours are pieces of lists of all passes and levels, which begin anywhere
@triton.jit(
    do_not_specialize=["n", "axis", "quant_step", "log_step"],
    do_not_specialize_on_alignment=["p_targets", "p_neighbours", "p_edges"],
)
def _predict(
    p_values, p_active, p_differences, p_known, p_share, p_neighbours, p_edges, p_targets,
    p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts, p_predictions, p_classes, n, axis, quant_step, log_step,
    PHASE: tl.constexpr, MEAN: tl.constexpr, ACTIVE_ONLY: tl.constexpr, KNOWN: tl.constexpr, SOURCES: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_targets = tl.load(p_targets + o_n, mask=m_n, other=0)
    b_row = (b_targets >> 9).to(tl.int64)
    b_edges = tl.load(p_edges + b_row, mask=m_n, other=0).to(tl.int32)
    first, second = tl.where(axis == 0, 1, 0), tl.where(axis == 2, 1, 2)  # the other two axes
    if MEAN:
        a = _line(b_targets, b_edges, axis, axis, 1, (-2, -1, 0, 1, 2), "clamped")
        u = _line(b_targets, b_edges, first, axis, 1, (-1, 0, 1), "clamped")
        v = _line(b_targets, b_edges, second, axis, 1, (-1, 0, 1), "clamped")
    else:
        a = _line(b_targets, b_edges, axis, axis, 1, (-3, -1, 1, 3, -2, 0, 2), "along")
        u = _line(b_targets, b_edges, first, axis, tl.where(axis == 0, 2, 1), (-1, 0, 1), "mirrored")
        v = _line(b_targets, b_edges, second, axis, tl.where(axis == 2, 1, 2), (-1, 0, 1), "mirrored")
    rows = ()
    for K in tl.static_range(8):
        p_near = p_neighbours + b_row * 27 + 13 + (K // 4 * a[2] + K // 2 % 2 * u[2] + K % 2 * v[2])
        rows += (tl.load(p_near, mask=m_n, other=0) * 512,)
    if MEAN:
        b_about = tl.load(p_values + b_targets, mask=m_n, other=0)
    else:
        line, line_active = (), ()
        for K in tl.static_range(4):
            b_v, b_on = _fetch(p_values, p_active, _point(rows, a, u, v, K, 1, 1), m_n)
            line += (b_v.to(tl.int64),)
            line_active += (b_on,)
        if ACTIVE_ONLY:
            line = _extended(line, line_active)
        b_about = (9 * (line[1] + line[2]) - line[0] - line[3] + 8) >> 4
        b_about = tl.minimum(tl.maximum(b_about, -(1 << 29)), 1 << 29).to(tl.int32)
    b_spread = tl.zeros((BLOCK,), tl.int64)
    b_count = tl.full((BLOCK,), 1, tl.int32)
    deltas, flags = (), ()
    for K in tl.static_range(KNOWN):
        b_v, b_on = _fetch(p_values, p_active, _point(rows, a, u, v, K // 9, K // 3 % 3, K % 3), m_n)
        b_v -= b_about
        b_spread += tl.abs(b_v * b_on)
        b_count += b_on
        deltas += (b_v * b_on if MEAN or ACTIVE_ONLY else b_v,)
        flags += ((b_on * 16).to(tl.int8),)
    if PHASE:
        ZERO: tl.constexpr = 2 if MEAN else 5  # the step of 0 along the pass
        for K in tl.static_range(6):
            b_at = _point(
                rows, a, u, v, ZERO + (K // 2 == 0) * (K % 2 * 2 - 1),
                1 + (K // 2 == 1) * (K % 2 * 2 - 1), 1 + (K // 2 == 2) * (K % 2 * 2 - 1),
            )  # fmt: skip
            if MEAN:
                b_v, b_on = _fetch(p_differences, p_known, b_at, m_n)
                deltas += (b_v * b_on,)
            else:
                b_v, b_on = _fetch(p_values, p_active, b_at, m_n)
                b_v -= b_about
                deltas += (b_v * b_on if ACTIVE_ONLY else b_v,)
            flags += ((b_on * 16).to(tl.int8),)
    b_sigma = tl.maximum(_mean(b_spread, b_count) + (quant_step >> 2), 1)
    b_e = _floor_log2(b_sigma)
    b_scale = log2(b_sigma) - log_step
    b_size = (log2(tl.abs(b_about) + quant_step) - log_step) >> 1
    inputs = ()  # in the network's order: points, flags, scales, and a 0 for columns without input
    for K in tl.static_range(KNOWN + 6 * PHASE):
        inputs += (_scaled(deltas[K], b_e, 127).to(tl.int8),)
    inputs += flags
    inputs += (tl.minimum(tl.maximum(b_scale, -127), 127).to(tl.int8),)
    inputs += (tl.minimum(tl.maximum(b_size, 0), 127).to(tl.int8), _scaled(b_about, b_e, 64).to(tl.int8))
    if MEAN:
        inputs += ((tl.load(p_share + b_targets, mask=m_n, other=0).to(tl.int32) - 16).to(tl.int8),)
    inputs += (tl.zeros((BLOCK,), tl.int8),)
    tiles = ()
    for K in tl.static_range(len(SOURCES) // 64):
        tiles += (_tile(inputs, SOURCES, 64 * K),)
    out0, out1 = layers(tiles, p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts)
    b_offset = tl.minimum(tl.maximum(out0, -(1 << 13)), 1 << 13).to(tl.int64)
    b_base = (deltas[13] - deltas[31]) >> 2 if MEAN else b_about
    b_value = b_base.to(tl.int64) + ((b_offset << b_e.to(tl.int64)) >> 8)
    tl.store(p_predictions + o_n, tl.minimum(tl.maximum(b_value, -(1 << 30)), 1 << 30), mask=m_n)
    b_class = tl.minimum(tl.maximum(((b_scale + out1) >> 2) + 16, 0), 63)
    tl.store(p_classes + o_n, b_class.to(tl.uint8), mask=m_n)


def predict(
    bricks: Bricks,
    points: torch.Tensor,
    predictor: StencilNetwork,
    quant_step: int,
    room: Predictions,
) -> None:
    """Writes predictions of points; arguments as in the package."""
    n, stencil, network = len(points), predictor.stencil, predictor.network
    differences = bricks.differences
    split = (None, None, None) if differences is None else (differences.values, differences.known, differences.share)
    if n:
        _predict[(triton.cdiv(n, BLOCK),)](
            bricks.values, bricks.active, *split, bricks.neighbours.bricks, bricks.neighbours.edges, points,
            *weights(network), room.values, room.scale_classes, n, stencil.axis, quant_step, _log2_of(quant_step),
            stencil.phase, stencil.mean, stencil.active_only, stencil.known, network.sources, BLOCK, num_warps=WARPS,
        )  # fmt: skip


def prepare(predictors: Iterable[StencilNetwork]) -> None:
    """Compiles what predictors need for the current GPU, arguments as predict() gives them."""
    device = torch.cuda.current_device()
    kinds = {(p.stencil.phase, p.stencil.mean, p.stencil.active_only, p.network.sources): p for p in predictors}
    with ThreadPoolExecutor(max(1, len(kinds))) as pool:
        list(pool.map(lambda predictor: _compile(predictor, device), kinds.values()))


def _compile(predictor: StencilNetwork, device: int) -> None:
    stencil, network = predictor.stencil, predictor.network
    words, flags = torch.int32, torch.uint8
    split = (words, flags, flags) if stencil.mean else (None, None, None)
    tensors = (tensor.dtype for tensor in weights(network))
    with torch.cuda.device(device):
        _predict.warmup(
            words, flags, *split, words, flags, words, *tensors, torch.int64, flags, BLOCK, 0, BLOCK, BLOCK,
            stencil.phase, stencil.mean, stencil.active_only, stencil.known, network.sources, BLOCK,
            grid=(1,), num_warps=WARPS,
        )  # fmt: skip


def _log2_of(x: int) -> int:
    e = x.bit_length() - 1
    return (e << 4) + ((x << 4) >> e) - 16
