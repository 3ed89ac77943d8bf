"""torch transcription of values/lattice/sample.py, and of values/lattice/mean.py with dead zones, all in float64.

With e = (exact - prediction) / step, the residual is e rounded to the nearest integer, ties to even; with dead zones
sign(e) * max(0, floor((|e| + 1/2) - dead zone of the class)). Every operation is that of IEEE 754, in this order.
"""

from __future__ import annotations

import torch

from neuralvdb.kernels.bricks import Destination, Predictions

MOST, TOP = 1 << 22, 1 << 28


def quantise(
    exact: torch.Tensor,
    predictions: Predictions,
    destination: Destination,
    quant_step: int,
    dead_zone: torch.Tensor | None,
) -> torch.Tensor:
    """Residuals (n,) int32; arguments as in the package."""
    at = destination.targets.points.long()
    step = torch.full((1,), float(quant_step), dtype=torch.float64, device=exact.device)
    # torch multiplies by the reciprocal of a number on the host; a tensor it divides by
    error = (exact.view(-1)[at].double() - predictions.values.double()) / step
    if dead_zone is None:
        q = error.round()
    else:
        q = error.sign() * (error.abs() + 0.5 - dead_zone[predictions.scale_classes.long()]).floor().clamp(min=0)
    q = q.clamp(-MOST, MOST).long()
    destination.values.view(-1)[at] = (predictions.values + q * quant_step).clamp(-TOP, TOP).to(torch.int32)
    if destination.known is not None:
        destination.known.view(-1)[at] = 1
    return q.to(torch.int32)
