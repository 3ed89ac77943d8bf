"""torch transcription of values/lattice/reference.py, values/lattice/correction_network.py and
values/lattice/nearby.py. With r the innovation, g the gain, t the step,

    prediction += (g r + 8) >> 4;  class += s of the number of 4, 11, 32 and 96 that are at most 16 |r| / t

or, by the network, whose outputs are out and inputs log2 of mean errors nearby, with d4 and d2 means of e - r,

    prediction += (out[0] r + out[1] d4 + out[2] d2 + 32) >> 6;  class += out[3]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.bricks import Destination, Predictions

if TYPE_CHECKING:
    from neuralvdb.kernels.correct import Above, PassView, Weights

_MOST = 1 << 30  # predictions
_SIZES = (4, 11, 32, 96)  # of innovations, in 1/16 step
_MOST_INPUT, _MOST_GAIN, _MOST_SHIFT = 127, 127, 32
_LARGE_FACTOR, _SMALL_FACTOR = 2, 16
_LEVELS = 4
_COUNT, _ERRORS, _SIGNED, _SUMS = 0, 1, 4, 5
_BLOCKS = 64


def innovations_of(reference: torch.Tensor, predictions: Predictions, destination: Destination) -> torch.Tensor:
    """(n,) int32; arguments as in the package."""
    at = destination.targets.points.long()
    values = reference.view(-1)[at]
    destination.values.view(-1)[at] = values
    if destination.known is not None:
        destination.known.view(-1)[at] = 1
    return (values - predictions.values).to(torch.int32)


def correct_by_gain(
    predictions: Predictions, innovations: torch.Tensor, gain: int, shifts: tuple[int, ...], quant_step: int
) -> None:
    """Arguments as in the package."""
    wide = innovations.long()
    sizes = torch.stack([16 * wide.abs() >= size * quant_step for size in _SIZES]).sum(0)
    _correct(predictions, gain * wide + 8 >> 4, torch.tensor(shifts, device=wide.device)[sizes])


def correct_by_network(
    predictions: Predictions,
    innovations: torch.Tensor,
    points: torch.Tensor,
    weights: Weights,
    view: PassView,
) -> torch.Tensor:
    """(n,) int32; arguments as in the package."""
    before, wide = predictions.values.to(torch.int32), innovations.long()
    brick, offset = points.long() >> 9, points.long() & 511
    block = _block_of(offset)
    small, large = view.sums[brick, :, block], _large(view.sums)[brick, :, _large_of(block)]
    above, step_above = torch.zeros_like(small), view.quant_step
    if view.above is not None:
        above, step_above = _sums_above(view.above, brick, offset), view.above.step
    width = 4 * (predictions.scale_classes.long() - 16)
    size = _log_steps(wide.abs(), torch.ones_like(wide), view.quant_step)
    columns = [width, size, size - width]
    columns += _inputs_of(large, view.quant_step, _LARGE_FACTOR, width)
    columns += _inputs_of(small, view.quant_step, _SMALL_FACTOR, width)
    columns += _inputs_of(above, step_above, _SMALL_FACTOR, width)
    flags = [min(view.level, _LEVELS - 1) == level for level in range(_LEVELS)]
    flags += [view.axis == axis for axis in range(3)] + [view.phase == 1]
    columns += [torch.full_like(width, _MOST_INPUT * flag) for flag in flags]
    out = _forward(torch.stack(columns, 1).clamp(-_MOST_INPUT, _MOST_INPUT), weights)
    sources = torch.stack([wide, _mean(large), _mean(small)], 1)
    more = (out[:, :3].clamp(-_MOST_GAIN, _MOST_GAIN) * sources).sum(1) + 32 >> 6
    _correct(predictions, more, out[:, 3].clamp(-_MOST_SHIFT, _MOST_SHIFT))
    return before


def add_errors(destination: Destination, before: torch.Tensor, innovations: torch.Tensor, sums: torch.Tensor) -> None:
    """Arguments as in the package."""
    points, wide = destination.targets.points.long(), innovations.long()
    errors = destination.values.view(-1)[points].long() - before
    apart = errors - wide
    columns = torch.stack([torch.ones_like(wide), errors.abs(), wide.abs(), apart.abs(), apart], 1)
    first = (points >> 9) * (_SUMS * _BLOCKS) + _block_of(points & 511)
    at = first[:, None] + _BLOCKS * torch.arange(_SUMS, device=points.device)
    sums.view(-1).index_add_(0, at.view(-1), columns.view(-1))


def _correct(predictions: Predictions, more: torch.Tensor, shifts: torch.Tensor) -> None:
    predictions.values.add_(more).clamp_(-_MOST, _MOST)
    predictions.scale_classes.copy_((predictions.scale_classes.long() + shifts).clamp(0, 63))


def _forward(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """(n, 4) int64 of inputs (n, 23) int64; products in float64 are exact, and every device has them."""
    w1 = weights.w1[:, : x.shape[1]]
    sums = (x.double() @ w1.double().T).long() + weights.b1
    h = (sums >> weights.shifts[0]).clamp(0, 255)
    return (h.double() @ weights.w2.double().T).long() + weights.b2 >> weights.shifts[1:]


def _inputs_of(sums: torch.Tensor, step: int, factor: int, width: torch.Tensor) -> list[torch.Tensor]:
    """How many points, and mean sizes beside the width, 0 where there are no points. sums: (n, 5)."""
    count = sums[:, _COUNT]
    sizes = [_log_steps(sums[:, what], count.clamp(min=1), step) - width for what in range(_ERRORS, _SIGNED)]
    return [factor * count, *(size.masked_fill_(count == 0, 0) for size in sizes)]


def _log_steps(total: torch.Tensor, count: torch.Tensor, step: int) -> torch.Tensor:
    """log2 of the mean in steps plus 1/16, in 1/16."""
    return _log2(16 * total + count * step) - _log2(count * step) - 64


def _log2(x: torch.Tensor) -> torch.Tensor:
    """log2 of positive int64 below 2^49 in 1/16, linear between powers of two."""
    exponent = torch.frexp(x.double())[1].long() - 1
    return (exponent << 4) + ((x << 4) >> exponent) - 16


def _mean(sums: torch.Tensor) -> torch.Tensor:
    """The mean of e - r, halves rounded up; 0 where there are no points."""
    count = sums[:, _COUNT]
    return torch.div(2 * sums[:, _SIGNED] + count, 2 * count.clamp(min=1), rounding_mode="floor")


def _sums_above(above: Above, brick: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """(n, 5): of the blocks above that points lie in."""
    parent = above.parents[brick].long()
    block = torch.zeros_like(offset)
    for axis, shift in enumerate((6, 3, 0)):
        split_axes = above.split_axes >> (2 - axis) & 1
        along = (offset >> shift & 7) >> (1 + split_axes)
        block = 4 * block + 2 * (parent >> (2 - axis) & 1) + along
    has_sums = parent >> 3 < len(above.sums)
    sums = above.sums.new_zeros((len(brick), _SUMS))
    sums[has_sums] = above.sums[parent[has_sums] >> 3, :, block[has_sums]]
    return sums


def _large(sums: torch.Tensor) -> torch.Tensor:
    """(B, 5, 8): of blocks of 4x4x4 points."""
    return sums.view(-1, _SUMS, 2, 2, 2, 2, 2, 2).sum((3, 5, 7)).view(-1, _SUMS, 8)


def _block_of(offset: torch.Tensor) -> torch.Tensor:
    """The block of 2x2x2 points that each offset of a brick lies in."""
    return (offset >> 7 & 3) * 16 + (offset >> 4 & 3) * 4 + (offset >> 1 & 3)


def _large_of(block: torch.Tensor) -> torch.Tensor:
    """The block of 4x4x4 points that each of 2x2x2 lies in."""
    return (block >> 5 & 1) * 4 + (block >> 3 & 1) * 2 + (block >> 1 & 1)
