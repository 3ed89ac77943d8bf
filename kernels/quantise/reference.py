"""The definition, in plain torch: one step after the other, in float64.

With e = (exact - prediction) / step, the residual is e rounded to the nearest integer, ties to even; with dead zones
sign(e) * max(0, floor((|e| + 1/2) - dead zone of the class)). Every operation is that of IEEE 754, in this order.

Twin of values/lattice/mean.py.
"""

from __future__ import annotations

import torch

MOST, TOP = 1 << 22, 1 << 28


def quantise(
    exact: torch.Tensor,
    predictions: torch.Tensor,
    classes: torch.Tensor,
    targets: torch.Tensor,
    step: int,
    values: torch.Tensor,
    dead: torch.Tensor | None,
    known: torch.Tensor | None,
) -> torch.Tensor:
    """Residuals (n,) int32; arguments as in the package."""
    at, one = targets.long(), torch.full((1,), float(step), dtype=torch.float64, device=values.device)
    error = (exact.view(-1)[at].double() - predictions.double()) / one  # by a number, torch multiplies by its inverse
    if dead is None:
        q = error.round()
    else:
        q = error.sign() * (error.abs() + 0.5 - dead[classes.long()]).floor().clamp(min=0)
    q = q.clamp(-MOST, MOST).long()
    values.view(-1)[at] = (predictions + q * step).clamp(-TOP, TOP).to(torch.int32)
    if known is not None:
        known.view(-1)[at] = 1
    return q.to(torch.int32)
