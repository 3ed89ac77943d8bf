"""Twin of values/lattice/levels.py and values/lattice/mean_pyramid.py in Triton: a program makes a brick; reference.py
says it step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.split.gpu import companded, divide_down

if TYPE_CHECKING:
    from neuralvdb.kernels.levels import Joined, Means, Pairs, Sums


@triton.jit(do_not_specialize=["B", "R"])
def _unpack(p_bits, p_constants, p_flags, B, R):
    i_r = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    b_active, b_coded = tl.zeros((512,), tl.uint8), tl.zeros((512,), tl.uint8)
    if i_r < B:
        b_bits = tl.load(p_bits + i_r * 64 + (o_p >> 3)).to(tl.int32)
        b_coded = ((b_bits >> (o_p & 7)) & 1).to(tl.uint8)
        b_active = b_coded
    else:
        b_active += tl.load(p_constants + (i_r - B))
    tl.store(p_flags + i_r * 512 + o_p, b_active)
    tl.store(p_flags + (R.to(tl.int64) + i_r) * 512 + o_p, b_coded)


@triton.jit
def _join_bricks(p_fine, p_children, p_joined):
    i_r = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 512)
    o_octant = ((o_p >> 8) & 1) * 4 + ((o_p >> 5) & 1) * 2 + ((o_p >> 2) & 1)
    o_even = ((o_p >> 6) & 3) * 128 + ((o_p >> 3) & 3) * 16 + (o_p & 3) * 2
    b_child = tl.load(p_children + i_r * 8 + o_octant)
    tl.store(p_joined + i_r * 512 + o_p, tl.load(p_fine + b_child * 512 + o_even))


@triton.jit
def _upsample(p_coarse, p_parents, p_fine):
    i_b = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, 64)
    o_x, o_y, o_z = o_p >> 4, (o_p >> 2) & 3, o_p & 3
    parent = tl.load(p_parents + i_b).to(tl.int64)
    first = ((parent >> 2) & 1) * 256 + ((parent >> 1) & 1) * 32 + (parent & 1) * 4
    b_point = tl.load(p_coarse + (parent >> 3) * 512 + first + o_x * 64 + o_y * 8 + o_z)
    tl.store(p_fine + i_b * 512 + o_x * 128 + o_y * 16 + o_z * 2, b_point)


@triton.jit
def _first_half(p_pairs, i_r, SHIFT: tl.constexpr):
    """Where the first half of each cell of a brick is, (512,) int64; the second one is 1 << SHIFT behind it."""
    o_p = tl.arange(0, 512)
    o_a = ((o_p >> SHIFT) & 7) * 2
    o_across = o_p - ((o_p >> SHIFT) & 7) * (1 << SHIFT)
    return tl.load(p_pairs + i_r * 2 + (o_a >> 3)) * 512 + o_across + ((o_a & 7) << SHIFT)


@triton.jit
def _join_cells(
    p_fine_counts, p_fine_active, p_pairs, p_counts, p_active, p_share, p_both, SHIFT: tl.constexpr
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    o_c = i_r * 512 + tl.arange(0, 512)
    o_first = _first_half(p_pairs, i_r, SHIFT)
    b_first = tl.load(p_fine_counts + o_first)
    b_second = tl.load(p_fine_counts + o_first + (1 << SHIFT))
    b_total = b_first + b_second
    b_active = tl.load(p_fine_active + o_first) | tl.load(p_fine_active + o_first + (1 << SHIFT))
    tl.store(p_counts + o_c, b_total)
    tl.store(p_active + o_c, b_active | (b_total > 0).to(tl.uint8))
    tl.store(p_share + o_c, (32 * b_first // tl.maximum(b_total, 1)).to(tl.uint8))
    tl.store(p_both + o_c, ((b_first > 0) & (b_second > 0)).to(tl.uint8))


@triton.jit(do_not_specialize=["knee"])
def _join_means(
    p_fine, p_pairs, p_counts, p_means, p_companded, knee, SHIFT: tl.constexpr, COMPANDED: tl.constexpr
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    o_c = i_r * 512 + tl.arange(0, 512)
    o_first = _first_half(p_pairs, i_r, SHIFT)
    b_mean = (tl.load(p_fine + o_first) + tl.load(p_fine + o_first + (1 << SHIFT))) >> 1
    b_mean = tl.where(tl.load(p_counts + o_c) > 0, 0, b_mean)
    tl.store(p_means + o_c, b_mean)
    tl.store(p_companded + o_c, companded(b_mean.to(tl.int64), knee.to(tl.int64), COMPANDED))


@triton.jit
def _companded_mean(b_sum, b_count, knee, COMPANDED: tl.constexpr):
    """int32, of int64 sums over int64 numbers of voxels."""
    return companded(divide_down(2 * b_sum + b_count, 2 * tl.maximum(b_count, 1)), knee, COMPANDED)


@triton.jit(do_not_specialize=["knee"])
def _join_sums(
    p_fine, p_fine_counts, p_pairs, p_sums, p_differences, knee, SHIFT: tl.constexpr, COMPANDED: tl.constexpr
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    o_c = i_r * 512 + tl.arange(0, 512)
    o_first = _first_half(p_pairs, i_r, SHIFT)
    o_second = o_first + (1 << SHIFT)
    b_first, b_second = tl.load(p_fine + o_first), tl.load(p_fine + o_second)
    tl.store(p_sums + o_c, b_first + b_second)
    knee = knee.to(tl.int64)
    b_first = _companded_mean(b_first, tl.load(p_fine_counts + o_first).to(tl.int64), knee, COMPANDED)
    b_second = _companded_mean(b_second, tl.load(p_fine_counts + o_second).to(tl.int64), knee, COMPANDED)
    tl.store(p_differences + o_c, b_first - b_second)


def unpack(bits: torch.Tensor, constants: torch.Tensor, flags: torch.Tensor) -> None:
    """Arguments as in the package."""
    bricks = flags.shape[1]
    if bricks:
        _unpack[(bricks,)](bits, constants, flags, len(bits), bricks)


def join_bricks(fine: torch.Tensor, children: torch.Tensor, joined: torch.Tensor) -> None:
    """Arguments as in the package."""
    if len(joined):
        _join_bricks[(len(joined),)](fine, children, joined)


def upsample_into(coarse: torch.Tensor, parents: torch.Tensor, fine: torch.Tensor) -> None:
    """Arguments as in the package."""
    if len(parents):
        _upsample[(len(parents),)](coarse, parents, fine, num_warps=2)


def join_cells(counts: torch.Tensor, active: torch.Tensor, pairs: Pairs, joined: Joined) -> None:
    """Arguments as in the package."""
    if len(joined.counts):
        _join_cells[(len(joined.counts),)](
            counts, active, pairs.bricks, joined.counts, joined.active, joined.share, joined.both,
            (6, 3, 0)[pairs.axis],
        )  # fmt: skip


def join_means(fine: torch.Tensor, pairs: Pairs, counts: torch.Tensor, knee: int, joined: Means) -> None:
    """Arguments as in the package."""
    if len(joined.means):
        _join_means[(len(joined.means),)](
            fine, pairs.bricks, counts, joined.means, joined.companded, knee, (6, 3, 0)[pairs.axis], knee > 0
        )


def join_sums(fine: torch.Tensor, counts: torch.Tensor, pairs: Pairs, knee: int, joined: Sums) -> None:
    """Arguments as in the package."""
    if len(joined.sums):
        _join_sums[(len(joined.sums),)](
            fine, counts, pairs.bricks, joined.sums, joined.differences, knee, (6, 3, 0)[pairs.axis], knee > 0
        )
