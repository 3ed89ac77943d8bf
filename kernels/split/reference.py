"""The definition, in plain torch, in 64 bits.

The larger half, the first one unless the gap is negative, has p coded voxels, the other one q; with m the companded
mean of the cell, d the size of the gap, T = (p + q) mean and e() the inverse of companding:

    s = the largest integer from m - d - 1 to m with p e(s + d) + q e(s) <= T, or m - d - 1 if there is none
    larger = e(s + d) + (T - p e(s + d) - q e(s)) div p;   T div p where nothing is below 0 but s is
    smaller = (T - p larger) div q

So a cell keeps its mean, whatever the companding does. A half alone has the cell's mean.

Twin of values/lattice/mean_pyramid.py.
"""

from __future__ import annotations

import torch

from neuralvdb.kernels.compand import companded, expanded

TOP = 1 << 28


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
    bricks = len(pairs)
    at = places(pairs, axis)
    first, second = counts.view(-1)[at].long().unbind(0)
    mean, middle, gap = (array[:bricks].long() for array in (means, values, gaps))
    swapped = gap < 0
    most, least = torch.where(swapped, second, first), torch.where(swapped, first, second)
    large, small = _solved((most + least) * mean, middle, gap.abs(), most, least, knee, positive)
    large, small = torch.where(least == 0, mean, large), torch.where(most == 0, mean, small)
    halves = torch.stack([torch.where(swapped, small, large), torch.where(swapped, large, small)]).clamp(-TOP, TOP)
    on = torch.stack([first, second]) > 0
    fine_means.view(-1)[at[on]] = halves[on].to(torch.int32)
    fine_values.view(-1)[at[on]] = companded(halves[on], knee).to(torch.int32)


def places(pairs: torch.Tensor, axis: int) -> torch.Tensor:
    """(2, B, 512) int64: where the halves of each cell are, row * 512 + place."""
    place = torch.arange(512, device=pairs.device)
    shift = (6, 3, 0)[axis]
    along = place >> shift & 7
    rest = place - (along << shift)
    fine = torch.stack([2 * along, 2 * along + 1])
    return torch.stack([pairs[:, fine[half] >> 3] * 512 + rest + ((fine[half] & 7) << shift) for half in (0, 1)])


def _solved(
    total: torch.Tensor,
    middle: torch.Tensor,
    gap: torch.Tensor,
    most: torch.Tensor,
    least: torch.Tensor,
    knee: int,
    positive: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of the larger and of the smaller half, by bisection."""

    def halves_at(small: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(expanded(c, knee).clamp(-TOP, TOP) for c in (small + gap, small))

    low, high = middle - gap - 1, middle + 1
    while bool((high - low > 1).any()):
        at = (low + high) >> 1
        large, small = halves_at(at)
        fits = most * large + least * small <= total
        low, high = torch.where(fits, at, low), torch.where(fits, high, at)
    large, small = halves_at(low)
    one, other = most.clamp(min=1), least.clamp(min=1)
    large = large + torch.div(total - most * large - least * small, one, rounding_mode="floor")
    if positive:
        large = torch.where(low < 0, torch.div(total, one, rounding_mode="floor"), large)
    large = large.clamp(-TOP, TOP)
    return large, torch.div(total - most * large, other, rounding_mode="floor")
