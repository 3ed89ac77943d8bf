"""Twin of nets/network.py in Triton: int8 tensor cores with int32 sums. Other kernels build `layers` in.

A network has C columns in C / 64 tiles; `tiles` is a tuple of them, (M, 64) int8 each.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.network.packed import TILE, Packed

BLOCK = 128


@triton.jit
def joined(columns, LOG: tl.constexpr):
    """(M, 2^LOG): so many columns (M,), in order."""
    for K in tl.static_range(LOG):
        halves = ()
        for COLUMN in tl.static_range(1 << (LOG - 1 - K)):
            halves += (tl.join(columns[COLUMN], columns[COLUMN + (1 << (LOG - 1 - K))]),)
        columns = halves
    return tl.reshape(columns[0], (columns[0].shape[0], 1 << LOG))


@triton.jit
def _product(tiles, p_rows, o_r):
    """(M, R) int32: the inputs times R rows of C weights."""
    o_k = tl.arange(0, 64)
    p_w = p_rows + o_r[:, None] * (64 * len(tiles)) + o_k[None, :]
    b_sums = tl.dot(tiles[0], tl.trans(tl.load(p_w)), out_dtype=tl.int32)
    for K in tl.static_range(1, len(tiles)):
        b_sums = tl.dot(tiles[K], tl.trans(tl.load(p_w + 64 * K)), b_sums, out_dtype=tl.int32)
    return b_sums


@triton.jit
def layers(tiles, p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts):
    """out0, out1 (M,) int32 of the inputs."""
    o_k = tl.arange(0, 64)
    o_g = tl.arange(0, 32)
    b_lines = _product(tiles, p_w1 + 64 * 64 * len(tiles), tl.arange(0, 16))
    b_even, b_odd = tl.split(tl.reshape(b_lines, (tiles[0].shape[0], 8, 2)))  # but for the first of each they are 0
    b_h1 = (_product(tiles, p_w1, o_k) + tl.load(p_b1 + o_k)[None, :]) >> tl.load(p_shifts)
    b_h1 = (tl.minimum(tl.maximum(b_h1, 0), 255) - 128).to(tl.int8)
    b_w2 = tl.load(p_w2 + o_g[:, None] * 64 + o_k[None, :])
    b_h2 = tl.dot(b_h1, tl.trans(b_w2), out_dtype=tl.int32)
    b_h2 = (b_h2 + tl.load(p_b2 + o_g)[None, :]) >> tl.load(p_shifts + 1)
    b_h2 = tl.minimum(tl.maximum(b_h2, 0), 255)
    out0 = tl.sum(b_h2 * tl.load(p_w3 + o_g)[None, :], 1) + tl.load(p_b3)
    out1 = tl.sum(b_h2 * tl.load(p_w3 + 32 + o_g)[None, :], 1) + tl.load(p_b3 + 1)
    out0 = (out0 >> tl.load(p_shifts + 2)) + (tl.sum(b_even, 1) >> tl.load(p_shifts + 4))
    out1 = (out1 >> tl.load(p_shifts + 3)) + (tl.sum(b_odd, 1) >> tl.load(p_shifts + 5))
    return out0, out1


@triton.jit(do_not_specialize=["n"])
def _forward(
    p_inputs, p_out, p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts, n, TILES: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    i_block = tl.program_id(0).to(tl.int64)
    o_n = i_block * BLOCK + tl.arange(0, BLOCK)
    o_k = tl.arange(0, 64)
    m_n = o_n < n
    p_tile = p_inputs + o_n[:, None] * (64 * TILES) + o_k[None, :]
    tiles = ()
    for K in tl.static_range(TILES):
        tiles += (tl.load(p_tile + 64 * K, mask=m_n[:, None], other=0),)
    out0, out1 = layers(tiles, p_w1, p_b1, p_w2, p_b2, p_w3, p_b3, p_shifts)
    tl.store(p_out + o_n * 2, out0, mask=m_n)
    tl.store(p_out + o_n * 2 + 1, out1, mask=m_n)


def forward(inputs: torch.Tensor, network: Packed) -> torch.Tensor:
    """out (n, 2) int32 of inputs (n, C) int8."""
    n, out = len(inputs), torch.empty((len(inputs), 2), dtype=torch.int32, device=inputs.device)
    if n:
        _forward[(triton.cdiv(n, BLOCK),)](inputs, out, *weights(network), n, network.inputs // TILE, BLOCK)
    return out


def weights(network: Packed) -> tuple[torch.Tensor, ...]:
    """What `layers` takes, in its order."""
    return network.w1, network.b1, network.w2, network.b2, network.w3, network.b3, network.shifts
