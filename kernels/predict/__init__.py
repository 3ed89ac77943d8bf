"""Predictions of a phase: stencil, block floating point and integer network in one pass over memory."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen
from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.predict.stencil import Stencil

__all__ = ["Around", "Stencil", "predict"]


class Around:
    """Where points look: neighbours (B, 27) int32 and edges (B,) uint8, as neuralvdb.kernels.neighbours has them."""

    def __init__(self, neighbours: torch.Tensor, edges: torch.Tensor) -> None:
        checked("neighbours", neighbours, torch.int32, None, 27)
        checked("edges", edges, torch.uint8, len(neighbours))
        self.neighbours, self.edges = neighbours, edges


def predict(
    values: torch.Tensor,
    active: torch.Tensor,
    around: Around,
    targets: torch.Tensor,
    stencil: Stencil,
    network: Packed,
    step: int,
    *,
    gaps: torch.Tensor | None = None,
    known: torch.Tensor | None = None,
    share: torch.Tensor | None = None,
    inside: bool = False,
    implementation: str = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions (n,) int64 in lattice units, within +-2^30, and scale classes (n,) uint8, below 64, of points.

    values: (R, 512) int32, within +-2^28; active: (R, 512) uint8, 0 or 1; targets: (n,) int32, row * 512 + place, of
    rows below B; network: packed with stencil.columns(); step: of the residuals, in lattice units. On the mean lattice
    share: (R, 512) uint8, and in phase 1 gaps: (R, 512) int32, within +-2^28, and known: (R, 512) uint8, the
    differences of the cells already split. On the sample lattice inside: whether only active points are looked at.
    Raises ValueError on other shapes or types, and where R * 512 is not below 2^31.
    """
    rows = len(values)
    if values.numel() >= 1 << 31:
        raise ValueError(f"values: {rows} rows are more than places have numbers of 32 bits; take fewer at once")
    checked("values", values, torch.int32, rows, 512)
    checked("active", active, torch.uint8, rows, 512)
    checked("targets", targets, torch.int32, None)
    if stencil.mean:
        checked("share", _there("share", share), torch.uint8, rows, 512)
    if stencil.mean and stencil.phase:
        checked("gaps", _there("gaps", gaps), torch.int32, rows, 512)
        checked("known", _there("known", known), torch.uint8, rows, 512)
    return chosen(__name__, "predict", implementation, values)(
        values, active, around, targets, stencil, network, step, gaps, known, share, inside
    )


def _there(name: str, tensor: torch.Tensor | None) -> torch.Tensor:
    if tensor is None:
        raise ValueError(f"{name}: this stencil needs it")
    return tensor
