"""Predictions in Triton: a program takes 32 points from stencil to class; only the results touch memory again.

32 bits are enough nearly everywhere: values lie within 2^28, differences to the base within 2^30. Where the definition
multiplies by 16 before it shifts down, the two shifts are made one, and what would be clipped anyway is clipped before
it can overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.network.gpu import layers, weights
from neuralvdb.kernels.predict.stencil import Stencil, offsets_on

if TYPE_CHECKING:
    from neuralvdb.kernels.predict import Around

BLOCK, WARPS = 32, 8  # what spills no registers on sm_80 to sm_90 (tests/kernels/compiled.py)


@triton.jit
def _floor_log2(x):
    """Of positive int32; the bit below the highest is cleared, so that no rounding to float reaches the next power."""
    return ((x & ~(x >> 1)).to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def _log2(x):
    """In 1/16, of positive int32."""
    e = _floor_log2(x)
    return (e << 4) + ((x >> tl.maximum(e - 4, 0)) << tl.maximum(4 - e, 0)) - 16


@triton.jit
def _scaled(x, e, TOP: tl.constexpr):
    """16 x >> e, clipped to +-TOP, of int32 within 2^30."""
    x = tl.where(e < 4, tl.minimum(tl.maximum(x, -(1 << 20)), 1 << 20), x)
    return tl.minimum(tl.maximum((x >> tl.maximum(e - 4, 0)) << tl.maximum(4 - e, 0), -TOP), TOP)


@triton.jit
def _inside(b_at, b_edges, along, AXIS: tl.constexpr, MIRROR: tl.constexpr):
    """Coordinates within a brick, -8 to 15, brought back into the box; along: the axis of the pass."""
    if MIRROR:
        b_below = tl.where(along == AXIS, 0, -b_at)
        b_beyond = tl.where(along < AXIS, 12, 14) - b_at
    else:
        b_below, b_beyond = 0, 7
    b_low, b_high = (b_edges >> AXIS) & 1 != 0, (b_edges >> (3 + AXIS)) & 1 != 0
    return tl.where((b_at < 0) & b_low, b_below, tl.where((b_at > 7) & b_high, b_beyond, b_at))


@triton.jit
def _places(p_neighbours, p_edges, p_offsets, b_targets, m_n, o_k, axis, POINTS: tl.constexpr, MIRROR: tl.constexpr):
    """row * 512 + place, (M, 64) int64, of the stencil's points, and which there are."""
    b_row = (b_targets >> 9).to(tl.int64)
    b_edges = tl.load(p_edges + b_row, mask=m_n, other=0).to(tl.int32)[:, None]
    b_x = ((b_targets >> 6) & 7)[:, None] + tl.load(p_offsets + o_k)[None, :]
    b_y = ((b_targets >> 3) & 7)[:, None] + tl.load(p_offsets + 64 + o_k)[None, :]
    b_z = (b_targets & 7)[:, None] + tl.load(p_offsets + 128 + o_k)[None, :]
    b_x = _inside(b_x, b_edges, axis, 0, MIRROR)
    b_y = _inside(b_y, b_edges, axis, 1, MIRROR)
    b_z = _inside(b_z, b_edges, axis, 2, MIRROR)
    b_cell = ((b_x >> 3) * 3 + (b_y >> 3)) * 3 + (b_z >> 3) + 13
    m_p = m_n[:, None] & (o_k[None, :] < POINTS)
    b_rows = tl.load(p_neighbours + b_row[:, None] * 27 + b_cell, mask=m_p, other=0)
    return b_rows.to(tl.int64) * 512 + (((b_x & 7) << 6) + ((b_y & 7) << 3) + (b_z & 7)), m_p


@triton.jit(do_not_specialize=["n", "axis", "step", "log_step"])
def _predict(
    p_values, p_active, p_gaps, p_known, p_share, p_neighbours, p_edges, p_offsets, p_targets,
    p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts, p_predictions, p_classes, n, axis, step, log_step,
    KNOWN: tl.constexpr, POINTS: tl.constexpr, MEAN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    o_k = tl.arange(0, 64)
    m_n = o_n < n
    b_targets = tl.load(p_targets + o_n, mask=m_n, other=0)
    b_at, m_p = _places(p_neighbours, p_edges, p_offsets, b_targets, m_n, o_k, axis, POINTS, not MEAN)
    m_known = o_k[None, :] < KNOWN
    m_first = m_p & m_known if MEAN else m_p
    b_v = tl.load(p_values + b_at, mask=m_first, other=0)
    b_on = tl.load(p_active + b_at, mask=m_first, other=0).to(tl.int32)
    if MEAN:
        b_about = tl.sum(tl.where(o_k[None, :] == 22, b_v, 0), 1)
        b_v = tl.where(m_first, b_v - b_about[:, None], 0)
        if POINTS > KNOWN:
            m_faces = m_p & (o_k[None, :] >= KNOWN)
            b_v += tl.load(p_gaps + b_at, mask=m_faces, other=0)
            b_on += tl.load(p_known + b_at, mask=m_faces, other=0).to(tl.int32)
        b_v = b_v * b_on
        b_base = tl.sum(tl.where(o_k[None, :] == 13, b_v, tl.where(o_k[None, :] == 31, -b_v, 0)), 1) >> 2
    else:
        b_near = tl.sum(tl.where((o_k[None, :] == 13) | (o_k[None, :] == 22), b_v, 0), 1).to(tl.int64)
        b_far = tl.sum(tl.where((o_k[None, :] == 4) | (o_k[None, :] == 31), b_v, 0), 1).to(tl.int64)
        b_about = ((9 * b_near - b_far + 8) >> 4).to(tl.int32)
        b_base = b_about
        b_v -= b_about[:, None]
    b_spread = tl.sum(tl.where(m_known, tl.abs(b_v) * b_on, 0).to(tl.int64), 1)
    b_count = tl.sum(tl.where(m_known, b_on, 0), 1) + 1
    b_sigma = tl.maximum((b_spread // b_count + (step >> 2)).to(tl.int32), 1)
    b_e = _floor_log2(b_sigma)
    b_scale = _log2(b_sigma) - log_step
    b_size = (_log2(tl.abs(b_about) + step) - log_step) >> 1
    b_x = tl.where(o_k[None, :] < POINTS, _scaled(b_v, b_e[:, None], 127), 0)
    b_x = tl.where(o_k[None, :] == POINTS, tl.minimum(tl.maximum(b_scale, -127), 127)[:, None], b_x)
    b_x = tl.where(o_k[None, :] == POINTS + 1, tl.minimum(tl.maximum(b_size, 0), 127)[:, None], b_x)
    b_x = tl.where(o_k[None, :] == POINTS + 2, _scaled(b_about, b_e, 64)[:, None], b_x)
    if MEAN:
        b_share = tl.load(p_share + b_targets.to(tl.int64), mask=m_n, other=0).to(tl.int32) - 16
        b_x = tl.where(o_k[None, :] == POINTS + 3, b_share[:, None], b_x)
    out0, out1 = layers(b_x.to(tl.int8), (b_on * 16).to(tl.int8), p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts)
    b_offset = tl.minimum(tl.maximum(out0, -(1 << 13)), 1 << 13).to(tl.int64)
    b_found = b_base.to(tl.int64) + ((b_offset << b_e.to(tl.int64)) >> 8)
    tl.store(p_predictions + o_n, tl.minimum(tl.maximum(b_found, -(1 << 30)), 1 << 30), mask=m_n)
    b_class = tl.minimum(tl.maximum(((b_scale + out1) >> 2) + 16, 0), 63)
    tl.store(p_classes + o_n, b_class.to(tl.uint8), mask=m_n)


def predict(
    values: torch.Tensor,
    active: torch.Tensor,
    around: Around,
    targets: torch.Tensor,
    stencil: Stencil,
    network: Packed,
    step: int,
    gaps: torch.Tensor | None,
    known: torch.Tensor | None,
    share: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions (n,) int64 and classes (n,) uint8; arguments as in the package."""
    n = len(targets)
    predictions = torch.empty(n, dtype=torch.int64, device=values.device)
    classes = torch.empty(n, dtype=torch.uint8, device=values.device)
    if n:
        _predict[(triton.cdiv(n, BLOCK),)](
            values, active, gaps, known, share, around.neighbours, around.edges, offsets_on(stencil, values.device),
            targets, *weights(network), predictions, classes, n, stencil.axis, step, _log2_of(step),
            stencil.known, stencil.points, stencil.mean, BLOCK, num_warps=WARPS,
        )  # fmt: skip
    return predictions, classes


def _log2_of(x: int) -> int:
    e = x.bit_length() - 1
    return (e << 4) + ((x << 4) >> e) - 16
