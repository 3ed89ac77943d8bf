"""torch transcription of values/lattice/sample_inputs.py and values/lattice/mean_inputs.py, everything in 64 bits.

1. The stencil's points are fetched from the bricks around. Coordinates beyond the box are brought back into it, so
   that they never lead to points yet to be coded; only bricks at the box's edge need it. On the mean lattice they are
   clamped. On the sample lattice they are clamped below the box along the axis of the pass, and mirrored elsewhere: at
   the first point, at the last one, or, along axes after that of the pass, at the last even one.
2. `base` is the prediction without a network: on the sample lattice the cubic interpolation of the four nearest points
   along the axis, on the mean lattice half the slope between the cells before and behind. A stencil of active points
   only replaces inactive ones of the four by extrapolation (extended), and counts all others as the base.
3. Block floating point: with sigma the mean of |point - base| over active points, at least step / 4, all values are
   divided by 2^e, e = floor(log2 sigma), and clipped to +-127/16. So one network serves every scale.
4. The network gives an offset in 1/256 of 2^e, and what to add to the scale's log2 in 1/16. Predictions are clamped to
   +-2^30.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.bricks import Bricks, Differences, Neighbours, Predictions
from neuralvdb.kernels.network.reference import forward
from neuralvdb.kernels.predict.stencil import Stencil, offsets_on

if TYPE_CHECKING:
    from neuralvdb.kernels.predict import StencilNetwork

ONE, TOP, SHARES, CLASSES, MOST, BASE = 16, 127, 32, 64, 1 << 30, 1 << 29
LINE = (4, 13, 22, 31)  # the points of the sample lattice's stencil on the axis itself
BEFORE, CENTRE, BEHIND = 13, 22, 31  # the cells of the mean lattice's stencil on the axis next to the target, and it


def predict(
    bricks: Bricks,
    points: torch.Tensor,
    predictor: StencilNetwork,
    quant_step: int,
    room: Predictions,
) -> None:
    """Writes predictions of points; arguments as in the package."""
    stencil, network, differences = predictor.stencil, predictor.network, bricks.differences
    at = stencil_points(bricks.neighbours, points, stencil)
    view = (
        _view_of_samples(bricks, at, stencil)
        if differences is None
        else _view_of_means(bricks, differences, at, stencil)
    )
    known, active = slice(stencil.known), view.active
    spread = (view.delta.abs() * active)[:, known].sum(1)
    sigma = (spread // (active[:, known].sum(1) + 1) + (quant_step >> 2)).clamp(min=1)
    exponent, log_step = bit_length(sigma) - 1, log2(torch.tensor([quant_step], device=points.device))
    scale, size = log2(sigma) - log_step, log2(view.about.abs() + quant_step) - log_step
    scales = [scale.clamp(-TOP, TOP), (size >> 1).clamp(0, TOP), _scaled(view.about, exponent, 4 * ONE)]
    if differences is not None:
        scales.append(differences.share.reshape(-1)[points.long()].long() - SHARES // 2)
    every = [_scaled(view.delta, exponent[:, None], TOP), active * ONE, torch.stack(scales, 1)]
    inputs = torch.zeros((len(points), network.inputs), dtype=torch.int8, device=points.device)
    inputs[:, list(network.columns)] = torch.cat(every, 1).to(torch.int8)
    out = forward(inputs, network).long()
    offset = out[:, 0].clamp(-(1 << 13), 1 << 13)
    room.scale_classes.copy_((((scale + out[:, 1]) >> 2) + 16).clamp(0, CLASSES - 1))
    room.values.copy_((view.base + ((offset << exponent) >> 8)).clamp(-MOST, MOST))


@dataclass(frozen=True, kw_only=True)
class _View:
    """What n targets see of P points. delta, active: (n, P) int64, values less `about`, and 0 or 1; base: (n,) int64,
    the prediction without a network; about: (n,) int64, what values are around."""

    delta: torch.Tensor
    active: torch.Tensor
    base: torch.Tensor
    about: torch.Tensor


def _view_of_samples(bricks: Bricks, at: torch.Tensor, stencil: Stencil) -> _View:
    values, active = bricks.values.reshape(-1)[at].long(), bricks.active.reshape(-1)[at].long()
    far, near, beyond, last = (values[:, i] for i in LINE)
    if stencil.active_only:
        a, b, c, d = (active[:, i] != 0 for i in LINE)
        far, near, beyond, last = extended((far, near, beyond, last), (a, b, c, d))
    base = ((9 * (near + beyond) - far - last + 8) >> 4).clamp(-BASE, BASE)
    delta = values - base[:, None]
    return _View(delta=delta * active if stencil.active_only else delta, active=active, base=base, about=base)


def _view_of_means(bricks: Bricks, differences: Differences, at: torch.Tensor, stencil: Stencil) -> _View:
    values, active = bricks.values.reshape(-1)[at].long(), bricks.active.reshape(-1)[at].long()
    centre, nearest = values[:, CENTRE].clone(), at[:, stencil.known :]
    values[:, : stencil.known] -= centre[:, None]
    values[:, stencil.known :] = differences.values.reshape(-1)[nearest].long()
    active[:, stencil.known :] = differences.known.reshape(-1)[nearest].long()
    delta = values * active
    return _View(delta=delta, active=active, base=(delta[:, BEFORE] - delta[:, BEHIND]) >> 2, about=centre)


def stencil_points(neighbours: Neighbours, points: torch.Tensor, stencil: Stencil) -> torch.Tensor:
    """(n, P) int64: brick * 512 + offset of the stencil's points around points (n,)."""
    brick, offset = points.long() >> 9, points.long() & 511
    edges = neighbours.edges[brick].long()[:, None]
    near = torch.zeros((1, 1), dtype=torch.int64, device=points.device)
    offset_there = near
    for axis, (shift, steps) in enumerate(zip((6, 3, 0), offsets_on(stencil, points.device), strict=True)):
        at = (offset >> shift & 7)[:, None] + steps
        below, beyond = (at < 0) & (edges >> axis & 1 != 0), (at > 7) & (edges >> 3 + axis & 1 != 0)
        if stencil.mean:
            at = torch.where(below, 0, torch.where(beyond, 7, at))
        else:
            last = 6 if axis > stencil.axis else 7
            first = torch.zeros_like(at) if axis == stencil.axis else -at
            at = torch.where(below, first, torch.where(beyond, 2 * last - at, at))
        near, offset_there = 3 * near + (at >> 3) + 1, 8 * offset_there + (at & 7)
    return neighbours.bricks[brick[:, None], near].long() * 512 + offset_there


Line = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def extended(line: Line, active: Line) -> Line:
    """Replaces inactive points of a 4-point line by extrapolation, from far before the target to far behind it.

    Inner point: linear from the two points of the other side if both are active, else a copy of the other inner point.
    Outer point: quadratic through the other three if all are active, else linear through the inner two.
    """
    far, near, beyond, last = line
    a, b, c, d = active
    near_filled = torch.where(b, near, torch.where(c & d, 2 * beyond - last, beyond))
    beyond_filled = torch.where(c, beyond, torch.where(a & b, 2 * near - far, near))
    bend = 3 * (near - beyond)
    before = torch.where(a, far, torch.where(b & c & d, bend + last, 2 * near_filled - beyond_filled))
    behind = torch.where(d, last, torch.where(a & b & c, far - bend, 2 * beyond_filled - near_filled))
    return before, near_filled, beyond_filled, behind


def bit_length(x: torch.Tensor) -> torch.Tensor:
    """int64: bits of positive integers below 2^53."""
    return torch.frexp(x.double())[1].long()


def log2(x: torch.Tensor) -> torch.Tensor:
    """int64: log2 of positive integers in 1/16, linear between powers of two."""
    exponent = bit_length(x) - 1
    return (exponent << 4) + (((x << 4) >> exponent) - 16)


def _scaled(x: torch.Tensor, exponent: torch.Tensor, top: int) -> torch.Tensor:
    return ((x * ONE) >> exponent).clamp(-top, top)
