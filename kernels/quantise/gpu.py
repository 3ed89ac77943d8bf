"""Twin of values/lattice/sample.py and values/lattice/mean.py in Triton: residuals in one pass over a phase's points.

Division of float64 is IEEE's on every GPU, and no product is added to anything, so nothing can be contracted. Adding
and taking away 1.5 * 2^52 rounds to the nearest integer, ties to even.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from neuralvdb.kernels.bricks import Destination, Predictions

BLOCK = 512


@triton.jit(do_not_specialize=["n", "quant_step"])
def _quantise(
    p_exact, p_predictions, p_classes, p_targets, p_dead_zone, p_residuals, p_values, p_known, n, quant_step,
    BLOCK: tl.constexpr,
):  # fmt: skip
    o_n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    m_n = o_n < n
    b_target = tl.load(p_targets + o_n, mask=m_n, other=0).to(tl.int64)
    b_prediction = tl.load(p_predictions + o_n, mask=m_n, other=0)
    b_exact = tl.load(p_exact + b_target, mask=m_n, other=0).to(tl.float64)
    b_error = (b_exact - b_prediction.to(tl.float64)) / quant_step.to(tl.float64)
    if p_dead_zone is None:
        b_q = (b_error + 6755399441055744.0) - 6755399441055744.0
        b_q = tl.minimum(tl.maximum(b_q, -4194304.0), 4194304.0).to(tl.int64)
    else:
        b_dead_zone = tl.load(p_dead_zone + tl.load(p_classes + o_n, mask=m_n, other=0))
        b_size = tl.floor(tl.abs(b_error) + 0.5 - b_dead_zone)
        b_q = tl.minimum(tl.maximum(b_size, 0.0), 4194304.0).to(tl.int64)
        b_q = tl.where(b_error < 0, -b_q, b_q)
    b_value = tl.minimum(tl.maximum(b_prediction + b_q * quant_step, -(1 << 28)), 1 << 28)
    tl.store(p_residuals + o_n, b_q.to(tl.int32), mask=m_n)
    tl.store(p_values + b_target, b_value.to(tl.int32), mask=m_n)
    if p_known is not None:
        tl.store(p_known + b_target, tl.full((BLOCK,), 1, tl.uint8), mask=m_n)


def quantise(
    exact: torch.Tensor,
    predictions: Predictions,
    destination: Destination,
    quant_step: int,
    dead_zone: torch.Tensor | None,
) -> torch.Tensor:
    """Residuals (n,) int32; arguments as in the package."""
    points = destination.targets.points
    n, residuals = len(points), torch.empty(len(points), dtype=torch.int32, device=points.device)
    if n:
        _quantise[(triton.cdiv(n, BLOCK),)](
            exact, predictions.values, predictions.scale_classes, points, dead_zone, residuals, destination.values,
            destination.known, n, quant_step, BLOCK,
        )  # fmt: skip
    return residuals
