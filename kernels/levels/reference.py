"""torch transcription of values/lattice/levels.py and values/lattice/mean_pyramid.py: what is known of the levels of a
lattice before anything is decoded, and points that go from one level to the next.

Of the sample lattice a level has every second point of the finer one along each axis. On the mean lattice a cell has
two halves along an axis; it counts their coded voxels, and where it has none, its mean is that of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.compand import companded

if TYPE_CHECKING:
    from neuralvdb.kernels.levels import Joined, Means, Pairs, Sums

_EDGE, _SLOTS, _SHARES = 8, 512, 32


def unpack(bits: torch.Tensor, constants: torch.Tensor, flags: torch.Tensor) -> None:
    """Arguments as in the package."""
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    flags[:, : len(bits)] = (bits[..., None] >> shifts & 1).reshape(len(bits), _SLOTS)
    flags[0, len(bits) :] = constants[:, None]
    flags[1, len(bits) :] = 0


def join_bricks(fine: torch.Tensor, children: torch.Tensor, joined: torch.Tensor) -> None:
    """Arguments as in the package."""
    even = fine.view(-1, _EDGE, _EDGE, _EDGE)[:, ::2, ::2, ::2].reshape(-1, _SLOTS // 8)
    eighths = even[children].view(-1, 2, 2, 2, 4, 4, 4)
    joined.copy_(eighths.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, _SLOTS))


def upsample_into(coarse: torch.Tensor, parents: torch.Tensor, fine: torch.Tensor) -> None:
    """Arguments as in the package."""
    eighths = coarse.view(-1, 2, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, _EDGE // 2, 4, 4)
    fine[: len(parents)].view(-1, _EDGE, _EDGE, _EDGE)[:, ::2, ::2, ::2] = eighths[parents.long()]


def join_cells(counts: torch.Tensor, active: torch.Tensor, pairs: Pairs, joined: Joined) -> None:
    """Arguments as in the package."""
    first, second = halves_of(counts, pairs)
    total = first + second
    joined.counts.copy_(total)
    joined.share.copy_(torch.div(_SHARES * first, total.clamp(min=1), rounding_mode="floor"))
    joined.active.copy_(torch.maximum(*halves_of(active, pairs)).masked_fill_(total > 0, 1))
    joined.both.copy_((first > 0) & (second > 0))


def join_means(fine: torch.Tensor, pairs: Pairs, counts: torch.Tensor, knee: int, joined: Means) -> None:
    """Arguments as in the package."""
    first, second = halves_of(fine, pairs)
    joined.means.copy_(((first + second) >> 1).masked_fill_(counts > 0, 0))
    joined.companded.copy_(companded(joined.means, knee))


def join_sums(fine: torch.Tensor, counts: torch.Tensor, pairs: Pairs, knee: int, joined: Sums) -> None:
    """Arguments as in the package."""
    first, second = halves_of(fine, pairs)
    joined.sums.copy_(first + second)
    voxels = counts.long()
    means = torch.div(2 * fine + voxels, 2 * voxels.clamp(min=1), rounding_mode="floor")
    first, second = halves_of(companded(means, knee), pairs)
    joined.differences.copy_(first - second)


def halves_of(fine: torch.Tensor, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second halves (R, 512) of the cells of each pair of bricks of fine (R', 512)."""
    bricks, dim = fine.view(-1, _EDGE, _EDGE, _EDGE), 1 + pairs.axis
    both = torch.cat([bricks[pairs.bricks[:, 0]], bricks[pairs.bricks[:, 1]]], dim).movedim(dim, 1)
    first, second = (both[:, half::2].movedim(1, dim).reshape(-1, _SLOTS) for half in (0, 1))
    return first, second
