"""The layout of a classifier's inputs, as data: each is a state at an offset, or a constant."""

from __future__ import annotations

from collections.abc import Iterable

import torch

INPUTS = 128  # of a phase, at most
ABOVE, SAME, REFERENCE, ONE, NONE = range(5)  # a state of the level above, of the level, of the reference; 16; 0
Offsets = Iterable[tuple[int, int, int]]


def points_of(above: Offsets, same: Offsets, reference: Offsets, levels: Iterable[bool]) -> torch.Tensor:
    """(4, 128) int32: dx, dy, dz and kind of each input, in the order of arguments.

    above, same, reference: offsets in cells of the level that they look into; levels: which of the family's levels this
    is.
    """
    points = torch.zeros((4, INPUTS), dtype=torch.int32)
    points[3] = NONE
    kinds = [(ABOVE, above), (SAME, same), (REFERENCE, reference)]
    inputs = [(*offset, kind) for kind, offsets in kinds for offset in offsets]
    inputs += [(0, 0, 0, ONE if level else NONE) for level in levels]
    if inputs:
        points[:, : len(inputs)] = torch.tensor(inputs, dtype=torch.int32).T
    return points


def ways(points: torch.Tensor, octant: int, n: int) -> torch.Tensor:
    """(m^3, 128) int16: where the inputs of a cell look, by the offset of the cell's parent among m^3, m = n / 2 or 1.

    A way is 512 times the brick's number among the 27 around, plus the offset there. Cells are those of an octant of
    bricks of n^3.
    """
    m = max(1, n // 2)
    parents = torch.cartesian_prod(*[torch.arange(m, device=points.device)] * 3)[:, None]
    parity = torch.tensor([octant >> 2 & 1, octant >> 1 & 1, octant & 1], device=points.device)
    above = points[3, :, None] == ABOVE
    size = torch.where(above, m, n)
    at = torch.where(above, parents, parents * (n // m) + parity * (n > 1)) + points[:3].T
    at = at.maximum(-size).minimum(2 * size - 1)
    brick, offset = (at // size + 1).unbind(2), (at % size).unbind(2)
    size = size[:, 0]
    numbers = ((brick[0] * 3 + brick[1]) * 3 + brick[2]) * 512 + (offset[0] * size + offset[1]) * size + offset[2]
    return numbers.to(torch.int16)
