"""torch transcription of values/lattice/mean_pyramid.py, in 64 bits.

The larger half, the first one unless the difference is negative, has p coded voxels, the other one q; with m the
companded mean of the cell, d the size of the difference, T = (p + q) mean and e() the inverse of companding:

    s = the largest integer from m - d - 1 to m with p e(s + d) + q e(s) <= T, or m - d - 1 if there is none
    larger = e(s + d) + (T - p e(s + d) - q e(s)) div p;   T div p where no value is below 0 but s is
    smaller = (T - p larger) div q

So a cell keeps its mean, whatever the companding does. A half alone has the cell's mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.compand import companded, expanded

if TYPE_CHECKING:
    from neuralvdb.kernels.split import Cells, Companding, Halves

TOP = 1 << 28


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """total, middle, size: T, m and d of cells; more, less: p and q."""

    total: torch.Tensor
    middle: torch.Tensor
    size: torch.Tensor
    more: torch.Tensor
    less: torch.Tensor


def split(cells: Cells, halves: Halves, companding: Companding) -> None:
    """Arguments as in the package."""
    bricks, at = len(halves.pairs), points_of_halves(halves.pairs, halves.axis)
    first, second = halves.counts.view(-1)[at].long().unbind(0)
    mean, middle, difference = (array[:bricks].long() for array in (cells.means, cells.companded, cells.differences))
    swapped = difference < 0
    more, less = torch.where(swapped, second, first), torch.where(swapped, first, second)
    total = (more + less) * mean
    problem = _Problem(total=total, middle=middle, size=difference.abs(), more=more, less=less)
    large, small = _solved(problem, companding)
    large, small = torch.where(less == 0, mean, large), torch.where(more == 0, mean, small)
    both = torch.stack([torch.where(swapped, small, large), torch.where(swapped, large, small)]).clamp(-TOP, TOP)
    coded = torch.stack([first, second]) > 0
    halves.means.view(-1)[at[coded]] = both[coded].to(torch.int32)
    halves.companded.view(-1)[at[coded]] = companded(both[coded], companding.knee).to(torch.int32)


def points_of_halves(pairs: torch.Tensor, axis: int) -> torch.Tensor:
    """(2, B, 512) int64: where the halves of each cell are, brick * 512 + offset."""
    offset = torch.arange(512, device=pairs.device)
    shift = (6, 3, 0)[axis]
    along = offset >> shift & 7
    across = offset - (along << shift)
    fine = torch.stack([2 * along, 2 * along + 1])
    return torch.stack([pairs[:, fine[half] >> 3] * 512 + across + ((fine[half] & 7) << shift) for half in (0, 1)])


def _solved(problem: _Problem, companding: Companding) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of the larger and of the smaller half, by bisection."""
    total, more, less = problem.total, problem.more, problem.less

    def halves_at(small: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        large = expanded(small + problem.size, companding.knee)
        return large.clamp(-TOP, TOP), expanded(small, companding.knee).clamp(-TOP, TOP)

    low, high = problem.middle - problem.size - 1, problem.middle + 1
    while bool((high - low > 1).any()):
        at = (low + high) >> 1
        large, small = halves_at(at)
        fits = more * large + less * small <= total
        low, high = torch.where(fits, at, low), torch.where(fits, high, at)
    large, small = halves_at(low)
    p, q = more.clamp(min=1), less.clamp(min=1)
    large = large + torch.div(total - more * large - less * small, p, rounding_mode="floor")
    if companding.nonnegative:
        large = torch.where(low < 0, torch.div(total, p, rounding_mode="floor"), large)
    large = large.clamp(-TOP, TOP)
    return large, torch.div(total - more * large, q, rounding_mode="floor")
