"""Cells split in two: the means of both halves from that of the whole and their difference."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen

TOP = 1 << 28  # means are clamped to plus or minus this


def split(
    means: torch.Tensor,
    values: torch.Tensor,
    gaps: torch.Tensor,
    pairs: torch.Tensor,
    counts: torch.Tensor,
    axis: int,
    knee: int,
    positive: bool,
    fine_means: torch.Tensor,
    fine_values: torch.Tensor,
    *,
    implementation: str = "auto",
) -> None:
    """fine_means and fine_values (F, 512) int32 of the halves that hold coded voxels.

    means, values: (R, 512) int32, of the cells, plain and companded; gaps: (R, 512) int32, companded first less second
    half, 0 where only one half holds something; pairs: (B, 2) int64, the fine rows that each of the first B rows joins
    along `axis`; counts: (F, 512) int32, coded voxels of the halves; knee: of companding; positive: nothing is below
    0. Raises ValueError on other shapes or types.
    """
    rows, fine = len(means), len(counts)
    for name, tensor in (("means", means), ("values", values), ("gaps", gaps)):
        checked(name, tensor, torch.int32, rows, 512)
    for name, tensor in (("counts", counts), ("fine_means", fine_means), ("fine_values", fine_values)):
        checked(name, tensor, torch.int32, fine, 512)
    checked("pairs", pairs, torch.int64, None, 2)
    chosen(__name__, "split", implementation, means)(
        means, values, gaps, pairs, counts, axis, knee, positive, fine_means, fine_values
    )
