"""Residuals from exact values and predictions, and what a decoder will make of them."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen

MOST = 1 << 22  # residuals are clamped to plus or minus this
TOP = 1 << 28  # and reconstructed values to this


def quantise(
    exact: torch.Tensor,
    predictions: torch.Tensor,
    classes: torch.Tensor,
    targets: torch.Tensor,
    step: int,
    values: torch.Tensor,
    *,
    dead: torch.Tensor | None = None,
    known: torch.Tensor | None = None,
    implementation: str = "auto",
) -> torch.Tensor:
    """Residuals (n,) int32, clamped to +-2^22; values[targets] = prediction + residual * step, clamped to +-2^28;
    known[targets] = 1.

    exact: (...) float64 or float32, finite and within 2^30, of which those at targets (n,) int32, flat places, are
    coded; predictions: (n,) int64; classes: (n,) uint8, below 64; values: (...) int32, known: (...) uint8, of as many
    numbers as exact. dead: (64,) float64, by how much residuals of each class are rounded towards zero; without it they
    are rounded to the nearest, ties to even. Raises ValueError on other shapes or types.
    """
    n = len(targets)
    checked("exact", exact.view(-1), torch.float32 if exact.dtype == torch.float32 else torch.float64, None)
    for name, tensor, dtype in (
        ("predictions", predictions, torch.int64),
        ("classes", classes, torch.uint8),
        ("targets", targets, torch.int32),
    ):
        checked(name, tensor, dtype, n)
    checked("values", values.view(-1), torch.int32, exact.numel())
    if dead is not None:
        checked("dead", dead, torch.float64, 64)
    if known is not None:
        checked("known", known.view(-1), torch.uint8, exact.numel())
    return chosen(__name__, "quantise", implementation, values)(
        exact, predictions, classes, targets, step, values, dead, known
    )
