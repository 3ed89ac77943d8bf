"""torch transcription of nets/network.py, for packed networks.

    h1  = clip((W1 x + b1) >> s1, 0, 255)
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)

All sums are exact: integers of 32 bits or more, `>>` rounds down. Inputs and weights lie within +-127.
"""

from __future__ import annotations

import torch

from neuralvdb.kernels.network.packed import FIRST, OUTPUTS, Packed


def forward(inputs: torch.Tensor, network: Packed) -> torch.Tensor:
    """out (n, 2) int32 of inputs (n, C) int8."""
    s1, s2, s3, sl = network.shifts.split([1, 1, 2, 2])
    sums = _product(inputs, network.w1)
    h1 = ((sums[:, :FIRST] + network.b1) >> s1).clamp(0, 255)
    h2 = ((_product(h1 - 128, network.w2) + network.b2) >> s2).clamp(0, 255)
    last = _product(h2, network.w3) + network.b3
    return ((last >> s3) + (sums[:, FIRST : FIRST + OUTPUTS] >> sl)).to(torch.int32)


def _product(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """x @ weights.T, int64; exact in float64, which every device multiplies."""
    return (x.double() @ weights.double().T).long()
