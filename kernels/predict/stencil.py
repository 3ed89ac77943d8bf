"""Which points a target sees, and the layout of the inputs that come of them, as data.

A network's inputs are groups, one after the other: known points, nearest points, flags, scales. Another group (points
of a reference grid, say) is another entry of `layout`: a packed network takes as many columns as its groups reach, and
the kernel is told by data which column each input goes to.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from neuralvdb.kernels.network.packed import TILE

FACES = 6


@dataclass(frozen=True)
class Group:
    """A run of inputs. name: what they are; inputs: how many; column: that of the first one in a packed network."""

    name: str
    inputs: int
    column: int


@dataclass(frozen=True)
class Stencil:
    """The points that targets of a phase along an axis see.

    axis: 0, 1 or 2;
    phase: 0 or 1, which also sees the six nearest points of phase 0;
    mean: of cells that are split (mean lattice), else of points midway between known ones (sample lattice);
    active_only: whether the sample lattice sees active points only.
    """

    axis: int
    phase: int
    mean: bool = False
    active_only: bool = False

    @property
    def known(self) -> int:
        """Points that are known before the pass: 9 at each step along the axis."""
        return 45 if self.mean else 36

    @property
    def points(self) -> int:
        """All points."""
        return self.known + FACES * self.phase

    @property
    def layout(self) -> tuple[Group, ...]:
        """The groups in the network's order; scales stand behind the points, in the same tile."""
        return (
            Group("known", self.known, 0),
            Group("nearest", FACES * self.phase, self.known),
            Group("flags", self.points, TILE),
            Group("scales", 4 if self.mean else 3, self.points),
        )

    def columns(self) -> list[int]:
        """The column of each input of the network."""
        return [group.column + i for group in self.layout for i in range(group.inputs)]

    def offsets(self) -> list[tuple[int, int, int]]:
        """Where the points lie, relative to the target: along the axis first, then along the other two in order."""
        across = [axis for axis in range(3) if axis != self.axis]
        units = [1 if self.mean or axis < self.axis else 2 for axis in across]
        along = range(-2, 3) if self.mean else (-3, -1, 1, 3)
        points = [(a, i * units[0], j * units[1]) for a in along for i in (-1, 0, 1) for j in (-1, 0, 1)]
        if self.phase:
            near = (1 if self.mean else 2, *units)
            points += [(sign * near[0], 0, 0) for sign in (-1, 1)]
            points += [(0, sign * near[1], 0) for sign in (-1, 1)]
            points += [(0, 0, sign * near[2]) for sign in (-1, 1)]
        order = [self.axis, *across]
        x, y, z = (order.index(axis) for axis in range(3))
        return [(point[x], point[y], point[z]) for point in points]


@functools.cache
def offsets_on(stencil: Stencil, device: torch.device) -> torch.Tensor:
    """offsets() as (3, points) int64 on a device."""
    return torch.tensor(stencil.offsets(), dtype=torch.int64).T.contiguous().to(device)
