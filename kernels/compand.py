"""torch transcription of values/lattice/compand.py: companding of lattice values in whole numbers.

Linear below a knee K, then steps that double with every segment: c(x) = x up to K, and K (1 + i) + (x - K 2**i) / 2**i
from K 2**i to K 2**(i+1), negative values mirrored. A knee of 0 is no companding. kernels/split has a twin in Triton.
"""

from __future__ import annotations

import torch

SEGMENTS = 31


def companded(x: torch.Tensor, knee: int) -> torch.Tensor:
    """int64 companded values of lattice values below 2^53, rounded towards 0."""
    size = x.long().abs()
    if knee == 0:
        return x.long()
    segment = (torch.frexp((size // knee).double())[1].long() - 1).clamp(min=0)
    return x.long().sign() * (knee * segment + (size >> segment))


def expanded(c: torch.Tensor, knee: int) -> torch.Tensor:
    """int64 lattice values of companded ones below 2^29, the exact inverse; at most 31 segments."""
    size = c.long().abs()
    if knee == 0:
        return c.long()
    segment = (size // knee - 1).clamp(0, SEGMENTS)
    return c.long().sign() * ((size - knee * segment) << segment)
