"""Bricks, points and predictions: the types that operations on points share.

Letters in shapes as in __init__.py: R bricks, B of them to be worked on, n points, D streams. All tensors are
contiguous and on one device; each class raises ValueError on other shapes or types.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The bricks around each brick, as kernels/neighbours finds them.

    bricks: (B, 27) int32, numbers of the bricks at -1, 0, 1 along x, y, z, x slowest;
    edges: (B,) uint8, bit a is set where a brick is its box's first along axis a, bit 3 + a where it is the last.
    """

    bricks: torch.Tensor
    edges: torch.Tensor

    def __post_init__(self) -> None:
        checked("bricks", self.bricks, torch.int32, None, 27)
        checked("edges", self.edges, torch.uint8, len(self.bricks))


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The differences of cells on the mean lattice: first half minus second half.

    values: (R, 512) int32, within +-2^28;
    known: (R, 512) uint8, 1 where a difference is decoded already, else 0;
    share: (R, 512) uint8, the first half's part of a cell's coded voxels, in 1/32.
    """

    values: torch.Tensor
    known: torch.Tensor
    share: torch.Tensor

    def __post_init__(self) -> None:
        checked("values", self.values, torch.int32, None, 512)
        checked("known", self.known, torch.uint8, len(self.values), 512)
        checked("share", self.share, torch.uint8, len(self.values), 512)


@dataclass(frozen=True, kw_only=True)
class Bricks:
    """Values of bricks, which of them are active, and the bricks around each.

    values: (R, 512) int32, within +-2^28;
    active: (R, 512) uint8, 0 or 1;
    neighbours: of the first B bricks;
    differences: on the mean lattice, of as many bricks; else None.

    R * 512 must be below 2^31, so that a point's number has 32 bits.
    """

    values: torch.Tensor
    active: torch.Tensor
    neighbours: Neighbours
    differences: Differences | None = None

    def __post_init__(self) -> None:
        if self.values.numel() >= 1 << 31:
            raise ValueError(f"values: points of {len(self.values)} bricks have no numbers of 32 bits; take fewer")
        checked("values", self.values, torch.int32, None, 512)
        checked("active", self.active, torch.uint8, len(self.values), 512)
        if self.differences is not None:
            checked("differences", self.differences.values, torch.int32, len(self.values), 512)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The points of a pass, stream after stream.

    points: (n,) int32, brick * 512 + offset;
    starts: (D + 1,) int64, where the points of each stream begin.
    """

    points: torch.Tensor
    starts: torch.Tensor

    def __post_init__(self) -> None:
        checked("points", self.points, torch.int32, None)
        checked("starts", self.starts, torch.int64, None)

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a network expects of n points.

    values: (n,) int64 in lattice units, within +-2^30;
    scale_classes: (n,) uint8, below 64, which table codes each residual.
    """

    values: torch.Tensor
    scale_classes: torch.Tensor

    def __post_init__(self) -> None:
        checked("predictions", self.values, torch.int64, None)
        checked("scale_classes", self.scale_classes, torch.uint8, len(self.values))


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the values of a pass are written: values[targets.points] = ..., known[targets.points] = 1.

    values: (...) int32;
    known: (...) uint8 of as many numbers as values, or None where nobody asks.
    """

    targets: Targets
    values: torch.Tensor
    known: torch.Tensor | None = None

    def __post_init__(self) -> None:
        checked("values", self.values.view(-1), torch.int32, None)
        if self.known is not None:
            checked("known", self.known.view(-1), torch.uint8, self.values.numel())
