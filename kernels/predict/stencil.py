"""Which points a target sees, and where each goes among the 128 inputs of a packed network."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

PLACES = 64  # columns of values, and then of flags
FACES = 6


@dataclass(frozen=True)
class Stencil:
    """The stencil of a phase along an axis. mean: of cells that are split (mean lattice), else of points midway between
    known ones (sample lattice)."""

    axis: int
    phase: int
    mean: bool = False

    @property
    def known(self) -> int:
        """Points that are known before the pass."""
        return 45 if self.mean else 36

    @property
    def points(self) -> int:
        """All points: phase 1 sees the six nearest of phase 0."""
        return self.known + FACES * self.phase

    @property
    def extras(self) -> int:
        """Inputs that are no points."""
        return 4 if self.mean else 3

    def columns(self) -> list[int]:
        """For each input of the network, values, flags, extras, its column: extras stand behind the values."""
        flags = [PLACES + i for i in range(self.points)]
        return [*range(self.points), *flags, *(self.points + i for i in range(self.extras))]

    def offsets(self) -> list[tuple[int, int, int]]:
        """Where the points lie: along the axis first, then the other two in order."""
        others = [other for other in range(3) if other != self.axis]
        units = [1 if self.mean or other < self.axis else 2 for other in others]
        along = range(-2, 3) if self.mean else (-3, -1, 1, 3)
        found = [(a, i * units[0], j * units[1]) for a in along for i in (-1, 0, 1) for j in (-1, 0, 1)]
        if self.phase:
            near = (1 if self.mean else 2, *units)
            found += [tuple(sign * near[k] * (k == axis) for k in range(3)) for axis in range(3) for sign in (-1, 1)]
        place = [self.axis, *others]
        return [tuple(point[place.index(axis)] for axis in range(3)) for point in found]


@functools.cache
def offsets_on(stencil: Stencil, device: torch.device) -> torch.Tensor:
    """offsets() as (3, 64) int32 on a device, 0 where there is no point."""
    found = torch.zeros((3, PLACES), dtype=torch.int32)
    found[:, : stencil.points] = torch.tensor(stencil.offsets(), dtype=torch.int32).T
    return found.to(device)
