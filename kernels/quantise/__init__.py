"""Residuals from exact values and predictions, and the values that a decoder will make of them."""

from __future__ import annotations

import torch

from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.dispatch import checked, select

MOST = 1 << 22  # residuals are clamped to plus or minus this
TOP = 1 << 28  # and reconstructed values to this


def quantise(
    exact: torch.Tensor,
    predictions: Predictions,
    destination: Destination,
    quant_step: int,
    *,
    dead_zone: torch.Tensor | None = None,
    implementation: str = "auto",
) -> torch.Tensor:
    """Residuals (n,) int32, clamped to +-2^22. The destination gets prediction + residual * quant_step, clamped to
    +-2^28.

    exact: (...) float64 or float32, finite and within 2^30, of as many numbers as the destination's values;
    dead_zone: (64,) float64, how much residuals of each scale class are rounded towards zero; without it they are
    rounded to the nearest, ties to even.

    Raises ValueError on other shapes or types.
    """
    kind = torch.float32 if exact.dtype == torch.float32 else torch.float64
    checked("exact", exact.view(-1), kind, destination.values.numel())
    checked("predictions", predictions.values, torch.int64, len(destination.targets))
    if dead_zone is not None:
        checked("dead_zone", dead_zone, torch.float64, 64)
    run = select(__name__, "quantise", implementation, exact)
    return run(exact, predictions, destination, quant_step, dead_zone)
