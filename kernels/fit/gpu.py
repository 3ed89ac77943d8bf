"""Twin of reference.py in Triton: two launches an iteration for all networks.

The first makes gradients of slices of the batch, the second sums them and makes Adam's step. No sums are made by
atomics: the same input gives the same weights on the same GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.fit.layout import SIZE
from neuralvdb.kernels.fit.reference import BETA

if TYPE_CHECKING:
    from neuralvdb.kernels.fit import Examples, Learners

BLOCK, CHUNK = 32, 32  # examples of a slice; inputs at a time


@triton.jit
def _inputs(p_x, p_order, p_factors, o_k):
    """Columns o_k (C,) of the inputs (B, C) float32 of examples at p_x (B,), reordered."""
    b_order = tl.load(p_order + o_k)
    b_factor = tl.load(p_factors + o_k) / 16
    return tl.load(p_x[:, None] + b_order[None, :]).to(tl.float32) * b_factor[None, :]


@triton.jit
def _cell(b_r, b_b):
    """Probability of the unit cell around a residual of size r, and its slopes by r and by ln b."""
    b_u = (0.5 - b_r) / b_b
    b_v = (-0.5 - b_r) / b_b
    b_above = tl.sigmoid(b_u)
    b_below = tl.sigmoid(b_v)
    b_du = b_above * (1 - b_above)
    b_dv = b_below * (1 - b_below)
    return b_above - b_below, (b_dv - b_du) / b_b, b_v * b_dv - b_u * b_du


@triton.jit
def _loss(b_out0, b_out1, b_target, b_ratio, b_scale, tail):
    """Bits (B,), and their slopes by the two outputs and by tail."""
    b_residual = (b_target - b_out0) * b_ratio
    b_r = tl.abs(b_residual)
    b_log = b_scale + b_out1
    m_log = (b_log >= -5) & (b_log <= 14)
    b_b = tl.exp2(tl.minimum(tl.maximum(b_log, -5), 14))
    b_near, b_near_r, b_near_b = _cell(b_r, b_b)
    b_wide, b_wide_r, b_wide_b = _cell(b_r, b_b * 3)
    share = tl.sigmoid(tail)
    b_p = (1 - share) * b_near + share * b_wide
    b_one = tl.where(b_p >= 1e-9, -1.4426950408889634 / tl.maximum(b_p, 1e-9), 0)
    b_sign = tl.where(b_residual > 0, 1.0, tl.where(b_residual < 0, -1.0, 0.0))
    b_d0 = -b_one * ((1 - share) * b_near_r + share * b_wide_r) * b_sign * b_ratio
    b_d1 = tl.where(m_log, b_one * ((1 - share) * b_near_b + share * b_wide_b) * 0.6931471805599453, 0)
    b_dtail = b_one * (b_wide - b_near) * share * (1 - share)
    return -tl.log2(tl.maximum(b_p, 1e-9)), b_d0, b_d1, b_dtail


@triton.jit
def _clipped(b_a):
    """An activation, and where it follows its argument."""
    return tl.minimum(tl.maximum(b_a, 0), 15.9375), (b_a > 0) & (b_a <= 15.9375)


@triton.jit(do_not_specialize=["way", "ways", "batch"])
def _slopes(
    p_inputs, p_target, p_ratio, p_scale, p_orders, p_factors, p_places, p_picks, p_weights, p_slopes, p_bits,
    way, ways, batch, SIZE: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    i_k = tl.program_id(0).to(tl.int64)
    i_slice = i_k * tl.num_programs(1) + tl.program_id(1)
    inputs = tl.load(p_places + i_k * 3).to(tl.int32)
    p_order = p_orders + (i_k * ways + way) * 128
    p_factor = p_factors + (i_k * ways + way) * 129
    p_w = p_weights + i_k * SIZE  # as in layout.py: w1 and linear are one matrix of 50 rows
    p_d = p_slopes + i_slice * SIZE
    p_w2, p_d2 = p_w + 50 * inputs, p_d + 50 * inputs
    o_n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < batch
    b_pick = tl.load(p_picks + i_k * batch + o_n, mask=m_n, other=0).to(tl.int64)
    p_x = p_inputs + tl.load(p_places + i_k * 3 + 2) + b_pick * inputs
    o_e = tl.load(p_places + i_k * 3 + 1) + b_pick
    o_h, o_g = tl.arange(0, 64), tl.arange(0, 32)
    m_h = o_h < 48
    b_sums = tl.zeros((BLOCK, 64), tl.float32)
    begin = 0
    while begin < inputs:
        o_c = begin + tl.arange(0, CHUNK)
        m_w = (o_c < inputs)[:, None] & (o_h < 50)[None, :]
        b_w = tl.load(p_w + o_h[None, :] * inputs + o_c[:, None], mask=m_w, other=0)
        b_sums = tl.dot(_inputs(p_x, p_order, p_factor, o_c), b_w, b_sums, input_precision="ieee")
        begin += CHUNK
    b_line0 = tl.sum(tl.where((o_h == 48)[None, :], b_sums, 0), 1)
    b_line1 = tl.sum(tl.where((o_h == 49)[None, :], b_sums, 0), 1)
    b_b1 = tl.load(p_w2 + 1600 + o_h, mask=m_h, other=0)[None, :]
    b_h1, m_1 = _clipped(tl.where(m_h[None, :], b_sums + b_b1, 0))
    o_w2 = o_g[None, :] * 48 + o_h[:, None]
    b_w2 = tl.load(p_w2 + o_w2, mask=m_h[:, None], other=0)
    b_sums = tl.dot(b_h1, b_w2, input_precision="ieee")
    b_h2, m_2 = _clipped(b_sums + tl.load(p_w2 + 1648 + o_g)[None, :])
    b_w30, b_w31 = tl.load(p_w2 + 1536 + o_g)[None, :], tl.load(p_w2 + 1568 + o_g)[None, :]
    b_out0 = tl.sum(b_h2 * b_w30, 1) + tl.load(p_w2 + 1680) + b_line0
    b_out1 = tl.sum(b_h2 * b_w31, 1) + tl.load(p_w2 + 1681) + b_line1
    b_target = tl.load(p_target + o_e) * tl.load(p_factor + 128)
    b_ratio, b_scale, tail = tl.load(p_ratio + o_e), tl.load(p_scale + o_e), tl.load(p_w2 + 1682)
    b_bits, b_d0, b_d1, b_dtail = _loss(b_out0, b_out1, b_target, b_ratio, b_scale, tail)
    b_share = tl.where(m_n, 1.0 / batch, 0)
    b_d0, b_d1 = b_d0 * b_share, b_d1 * b_share
    tl.store(p_bits + i_slice, tl.sum(b_bits * b_share, 0))
    tl.store(p_d2 + 1682, tl.sum(b_dtail * b_share, 0))
    tl.store(p_d2 + 1680, tl.sum(b_d0, 0))
    tl.store(p_d2 + 1681, tl.sum(b_d1, 0))
    b_d0, b_d1 = b_d0[:, None], b_d1[:, None]
    tl.store(p_d2 + 1536 + o_g, tl.sum(b_h2 * b_d0, 0))
    tl.store(p_d2 + 1568 + o_g, tl.sum(b_h2 * b_d1, 0))
    b_dh = tl.where(m_2, b_d0 * b_w30 + b_d1 * b_w31, 0)
    tl.store(p_d2 + 1648 + o_g, tl.sum(b_dh, 0))
    tl.store(p_d2 + o_w2, tl.dot(tl.trans(b_h1), b_dh, input_precision="ieee"), mask=m_h[:, None])
    b_dh = tl.where(m_1, tl.dot(b_dh, tl.trans(b_w2), input_precision="ieee"), 0)
    tl.store(p_d2 + 1600 + o_h, tl.sum(b_dh, 0), mask=m_h)
    b_dh = tl.where((o_h == 48)[None, :], b_d0, tl.where((o_h == 49)[None, :], b_d1, b_dh))
    begin = 0
    while begin < inputs:
        o_c = begin + tl.arange(0, CHUNK)
        m_w = (o_c < inputs)[:, None] & (o_h < 50)[None, :]
        b_dw = tl.dot(tl.trans(_inputs(p_x, p_order, p_factor, o_c)), b_dh, input_precision="ieee")
        tl.store(p_d + o_h[None, :] * inputs + o_c[:, None], b_dw, mask=m_w)
        begin += CHUNK


@triton.jit(do_not_specialize=["slices"])
def _update(p_places, p_slopes, p_rates, p_weights, p_averages, p_squares, slices, SIZE: tl.constexpr):
    i_k = tl.program_id(0).to(tl.int64)
    inputs = tl.load(p_places + i_k * 3).to(tl.int32)
    o_p = tl.arange(0, SIZE)
    m_p = o_p < 50 * inputs + 1683
    b_d = tl.zeros((SIZE,), tl.float32)
    i_s = 0
    while i_s < slices:
        b_d += tl.load(p_slopes + (i_k * slices + i_s) * SIZE + o_p, mask=m_p, other=0)
        i_s += 1
    norm = tl.sqrt(tl.sum(b_d * b_d, 0)) + 1e-6
    b_d = b_d * tl.where(norm <= 1, 1, 1 / norm)
    o_row = i_k * SIZE + o_p
    b_mean = tl.load(p_averages + o_row)
    b_mean += (b_d - b_mean) * tl.load(p_rates + 1)
    b_square = tl.load(p_squares + o_row) * 0.999 + b_d * b_d * 0.001
    b_w = tl.load(p_weights + o_row)
    b_w -= tl.load(p_rates) * b_mean / (tl.sqrt(b_square) / tl.load(p_rates + 2) + 1e-8)
    b_limit = tl.where((o_p >= 48 * inputs) & (o_p < 50 * inputs), 1.0, 2.0)
    b_limit = tl.where(o_p < 50 * inputs + 1600, b_limit, float("inf"))
    tl.store(p_weights + o_row, tl.minimum(tl.maximum(b_w, -b_limit), b_limit))
    tl.store(p_averages + o_row, b_mean)
    tl.store(p_squares + o_row, b_square)


def fit(learners: Learners, examples: Examples, picks: torch.Tensor, rates: list[tuple[float, float]]) -> torch.Tensor:
    """bits (T, K) float32; arguments as in the package."""
    (iterations, count, batch), device = picks.shape, picks.device
    slices, ways = triton.cdiv(batch, BLOCK), examples.orders.shape[1]
    slopes = torch.empty((count, slices, SIZE), dtype=torch.float32, device=device)
    bits = torch.empty((iterations, count, slices), dtype=torch.float32, device=device)
    factors = _factors(rates, learners.iterations).to(device)
    e = examples
    for t in range(iterations):
        _slopes[(count, slices)](
            e.inputs, e.target, e.ratio, e.scale, e.orders, e.factors, e.extents, picks[t], learners.weights, slopes,
            bits[t], (learners.iterations + t) % ways, ways, batch, SIZE, BLOCK, CHUNK, num_warps=8,
        )  # fmt: skip
        _update[(count,)](
            e.extents, slopes, factors[t], learners.weights, learners.means, learners.squares, slices, SIZE,
            num_warps=16,
        )  # fmt: skip
    return bits.sum(2)


def _factors(rates: list[tuple[float, float]], iterations: int) -> torch.Tensor:
    """(T, 4) float32 of Adam's steps: its size, what a new slope counts in the mean, what sqrt(square) is over, and 0,
    so that every row is aligned for Triton."""
    numbers = range(iterations + 1, iterations + len(rates) + 1)
    rows = []
    for n, (rate, beta) in zip(numbers, rates, strict=True):
        rows.append((rate / (1 - beta**n), 1 - beta, (1 - BETA**n) ** 0.5, 0))
    return torch.tensor(rows, dtype=torch.float32)
