"""The definition, in plain torch: one step after the other, everything in 64 bits.

1. The stencil's points are fetched from the bricks around. Coordinates beyond the box are clamped to it (mean lattice)
   or mirrored so that they are never ones yet to be coded (sample lattice): above the box at its last point, along axes
   after that of the pass at the last even one; below it at the first one, but along the axis itself clamped to it. Only
   bricks at the box's edge need either.
2. `base` is what to expect without a network: on the sample lattice the cubic interpolation of the four nearest points
   along the axis, on the mean lattice half the slope between the cells before and behind. Where only active points of
   the sample lattice are looked at, those of the four that are not are what the others go on to (extended), and all
   others count as the base.
3. Block floating point: with sigma the mean of |point - base| over active points, at least step / 4, all values are
   divided by 2^e, e = floor(log2 sigma), and clipped to +-127/16. So one network serves every scale.
4. The network gives an offset in 1/256 of 2^e, and what to add to the scale's log2 in 1/16. Predictions are clamped to
   +-2^30.

Twin of values/lattice/mean_inputs.py and values/lattice/sample_inputs.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.network.reference import forward
from neuralvdb.kernels.predict.stencil import PLACES, Stencil, offsets_on

if TYPE_CHECKING:
    from neuralvdb.kernels.predict import Around

ONE, TOP, SHARES, CLASSES, MOST, BASE = 16, 127, 32, 64, 1 << 30, 1 << 29
LINE = (4, 13, 22, 31)  # the points of the stencil along the axis


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
    inside: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions (n,) int64 and classes (n,) uint8; arguments as in the package."""
    at = places(around, targets, stencil)
    seen, on = values.reshape(-1)[at].long(), active.reshape(-1)[at].long()
    centre = seen[:, 22].clone()
    if stencil.mean and stencil.phase:
        faces = at[:, stencil.known :]
        seen[:, stencil.known :] = gaps.reshape(-1)[faces].long()
        on[:, stencil.known :] = known.reshape(-1)[faces].long()
    if stencil.mean:
        seen[:, : stencil.known] -= centre[:, None]
        delta, about = seen * on, centre
        base = (delta[:, 13] - delta[:, 31]) >> 2
    else:
        far, near, beyond, last = line = [seen[:, i] for i in LINE]
        if inside:
            far, near, beyond, last = extended(*line, *(on[:, i] != 0 for i in LINE))
        base = ((9 * (near + beyond) - far - last + 8) >> 4).clamp(-BASE, BASE)
        delta, about = seen - base[:, None], base
        if inside:
            delta = delta * on
    spread = (delta.abs() * on)[:, : stencil.known].sum(1)
    sigma = (spread // (on[:, : stencil.known].sum(1) + 1) + (step >> 2)).clamp(min=1)
    exponent, log_step = bit_length(sigma) - 1, log2(torch.tensor([step], device=values.device))
    scale, size = log2(sigma) - log_step, log2(about.abs() + step) - log_step
    extras = [scale.clamp(-TOP, TOP), (size >> 1).clamp(0, TOP), _scaled(about, exponent, 4 * ONE)]
    if stencil.mean:
        extras.append(share.reshape(-1)[targets.long()].long() - SHARES // 2)
    inputs = torch.zeros((len(targets), 2 * PLACES), dtype=torch.int8, device=values.device)
    every = [_scaled(delta, exponent[:, None], TOP), on * ONE, torch.stack(extras, 1)]
    inputs[:, stencil.columns()] = torch.cat(every, 1).to(torch.int8)
    out = forward(inputs, network).long()
    offset = out[:, 0].clamp(-(1 << 13), 1 << 13)
    classes = (((scale + out[:, 1]) >> 2) + 16).clamp(0, CLASSES - 1)
    return (base + ((offset << exponent) >> 8)).clamp(-MOST, MOST), classes.to(torch.uint8)


def places(around: Around, targets: torch.Tensor, stencil: Stencil) -> torch.Tensor:
    """(n, points) int64: row * 512 + place of the stencil's points around targets (n,)."""
    offsets = offsets_on(stencil, targets.device)[:, : stencil.points].long()
    row, place = targets.long() >> 9, targets.long() & 511
    edges = around.edges[row].long()[:, None]
    cell, inside = 0, 0
    for axis, shift in enumerate((6, 3, 0)):
        at = (place >> shift & 7)[:, None] + offsets[axis]
        below, beyond = (at < 0) & (edges >> axis & 1 != 0), (at > 7) & (edges >> 3 + axis & 1 != 0)
        if stencil.mean:
            at = torch.where(below, 0, torch.where(beyond, 7, at))
        else:
            first, last = 0 if axis == stencil.axis else -at, 6 if axis > stencil.axis else 7
            at = torch.where(below, first, torch.where(beyond, 2 * last - at, at))
        cell, inside = 3 * cell + (at >> 3) + 1, 8 * inside + (at & 7)
    return around.neighbours[row[:, None], cell].long() * 512 + inside


def extended(far, near, beyond, last, a, b, c, d) -> tuple[torch.Tensor, ...]:
    """The four points, those of them that are not active replaced, from inner to outer ones: an inner one lies on the
    line through both of the other side, or is their inner one; an outer one lies on the parabola through the three
    others, or on the line through the inner ones."""
    one = torch.where(b, near, torch.where(c & d, 2 * beyond - last, beyond))
    two = torch.where(c, beyond, torch.where(a & b, 2 * near - far, near))
    bend = 3 * (near - beyond)
    before = torch.where(a, far, torch.where(b & c & d, bend + last, 2 * one - two))
    behind = torch.where(d, last, torch.where(a & b & c, far - bend, 2 * two - one))
    return before, one, two, behind


def bit_length(x: torch.Tensor) -> torch.Tensor:
    """int64: bits of positive integers below 2^53."""
    return torch.frexp(x.double())[1].long()


def log2(x: torch.Tensor) -> torch.Tensor:
    """int64: log2 of positive integers in 1/16, linear between powers of two."""
    exponent = bit_length(x) - 1
    return (exponent << 4) + (((x << 4) >> exponent) - 16)


def _scaled(x: torch.Tensor, exponent: torch.Tensor, top: int) -> torch.Tensor:
    return ((x * ONE) >> exponent).clamp(-top, top)
