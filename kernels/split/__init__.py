"""Cells split in two: the means of both halves from that of the whole and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select

TOP = 1 << 28  # means are clamped to plus or minus this


@dataclass(frozen=True, kw_only=True)
class Companding:
    """knee: of companding, in lattice units, 0 for none; nonnegative: no value is below 0."""

    knee: int
    nonnegative: bool


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Cells of R bricks, all (R, 512) int32.

    means: in lattice units;
    companded: the same, companded;
    differences: companded first half less second half, 0 where only one half holds coded voxels.
    """

    means: torch.Tensor
    companded: torch.Tensor
    differences: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("means", "companded", "differences"):
            checked(name, getattr(self, name), torch.int32, len(self.means), 512)


@dataclass(frozen=True, kw_only=True)
class Halves:
    """The halves of the cells of the first B bricks, in F finer bricks.

    pairs: (B, 2) int64, the finer bricks that each brick joins along `axis`;
    counts: (F, 512) int32, coded voxels of each half;
    means, companded: (F, 512) int32, written where a half holds coded voxels.
    """

    axis: int
    pairs: torch.Tensor
    counts: torch.Tensor
    means: torch.Tensor
    companded: torch.Tensor

    def __post_init__(self) -> None:
        checked("pairs", self.pairs, torch.int64, None, 2)
        for name in ("counts", "means", "companded"):
            checked(name, getattr(self, name), torch.int32, len(self.counts), 512)


def split(cells: Cells, halves: Halves, companding: Companding, *, implementation: str = "auto") -> None:
    """Writes the means of halves that hold coded voxels, plain and companded."""
    select(__name__, "split", implementation, cells.means)(cells, halves, companding)
