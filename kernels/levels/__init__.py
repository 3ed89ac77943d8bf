"""From bricks of a finer level to those of a coarser one that join them, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select


def unpack(bits: torch.Tensor, constants: torch.Tensor, *, implementation: str = "auto") -> torch.Tensor:
    """(2, B + K, 512) uint8, 0 or 1: of B bricks the bits (B, 64) uint8, lowest first, twice; then of K bricks whose
    points are all alike constants (K,) uint8, and 0."""
    checked("bits", bits, torch.uint8, None, 64)
    checked("constants", constants, torch.uint8, None)
    flags = torch.empty((2, len(bits) + len(constants), 512), dtype=torch.uint8, device=bits.device)
    select(__name__, "unpack", implementation, bits)(bits, constants, flags)
    return flags


def join_bricks(fine: torch.Tensor, children: torch.Tensor, *, implementation: str = "auto") -> torch.Tensor:
    """(R, 512) of any type: the even points of each group of eight bricks, children (R, 8) int64, of fine (R', 512)."""
    checked("fine", fine, fine.dtype, None, 512)
    checked("children", children, torch.int64, None, 8)
    joined = torch.empty((len(children), 512), dtype=fine.dtype, device=fine.device)
    select(__name__, "join_bricks", implementation, fine)(fine, children, joined)
    return joined


def upsample_into(
    coarse: torch.Tensor, parents: torch.Tensor, fine: torch.Tensor, *, implementation: str = "auto"
) -> None:
    """Copies points of coarse (R, 512) int32 to the even points of the first B bricks of fine (R', 512) int32.

    parents: (B,) int32, eight times the coarse brick that a brick lies in, plus its octant there.
    """
    checked("coarse", coarse, torch.int32, None, 512)
    checked("parents", parents, torch.int32, None)
    checked("fine", fine, torch.int32, None, 512)
    select(__name__, "upsample_into", implementation, fine)(coarse, parents, fine)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Cells of R bricks that join two finer ones each along an axis.

    counts: (R, 512) int32, coded voxels of each cell;
    active: (R, 512) uint8, whether a cell is coded or has an active voxel;
    share: (R, 512) uint8, the first half's part of a cell's coded voxels, in 1/32;
    both: (R, 512) uint8, whether both halves hold coded voxels.
    """

    counts: torch.Tensor
    active: torch.Tensor
    share: torch.Tensor
    both: torch.Tensor

    def __post_init__(self) -> None:
        checked("counts", self.counts, torch.int32, None, 512)
        for name in ("active", "share", "both"):
            checked(name, getattr(self, name), torch.uint8, len(self.counts), 512)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Which finer bricks each of R bricks joins along an axis. bricks: (R, 2) int64."""

    bricks: torch.Tensor
    axis: int

    def __post_init__(self) -> None:
        checked("pairs", self.bricks, torch.int64, None, 2)


def join_cells(
    counts: torch.Tensor, active: torch.Tensor, pairs: Pairs, joined: Joined, *, implementation: str = "auto"
) -> None:
    """Fills `joined` from counts (R', 512) int32 and active (R', 512) uint8 of finer cells."""
    checked("counts", counts, torch.int32, None, 512)
    checked("active", active, torch.uint8, len(counts), 512)
    checked("pairs", pairs.bricks, torch.int64, len(joined.counts), 2)
    select(__name__, "join_cells", implementation, counts)(counts, active, pairs, joined)


@dataclass(frozen=True, kw_only=True)
class Means:
    """Means of R bricks of cells, (R, 512) int32: in lattice units, and companded."""

    means: torch.Tensor
    companded: torch.Tensor

    def __post_init__(self) -> None:
        checked("means", self.means, torch.int32, None, 512)
        checked("companded", self.companded, torch.int32, len(self.means), 512)


def join_means(
    fine: torch.Tensor, pairs: Pairs, counts: torch.Tensor, knee: int, joined: Means, *, implementation: str = "auto"
) -> None:
    """Fills `joined` from means (R', 512) int32 of finer cells: half the sum, rounded down; 0 where counts (R, 512)
    int32 are not."""
    checked("fine", fine, torch.int32, None, 512)
    checked("counts", counts, torch.int32, len(joined.means), 512)
    checked("pairs", pairs.bricks, torch.int64, len(joined.means), 2)
    select(__name__, "join_means", implementation, fine)(fine, pairs, counts, knee, joined)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Of R bricks of cells, (R, 512): sums int64 of their voxels, and the difference int32 of their halves' means."""

    sums: torch.Tensor
    differences: torch.Tensor

    def __post_init__(self) -> None:
        checked("sums", self.sums, torch.int64, None, 512)
        checked("differences", self.differences, torch.int32, len(self.sums), 512)


def join_sums(
    fine: torch.Tensor, counts: torch.Tensor, pairs: Pairs, knee: int, joined: Sums, *, implementation: str = "auto"
) -> None:
    """Fills `joined` from sums (R', 512) int64 over counts (R', 512) int32 voxels of finer cells, in lattice units.

    Means, halves of which are rounded up, lie within +-2^28 and are companded before they are subtracted, the second
    half's from the first's; that of no voxels is 0.
    """
    checked("fine", fine, torch.int64, None, 512)
    checked("counts", counts, torch.int32, len(fine), 512)
    checked("pairs", pairs.bricks, torch.int64, len(joined.sums), 2)
    select(__name__, "join_sums", implementation, fine)(fine, counts, pairs, knee, joined)
