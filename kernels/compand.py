"""The companding of lattice values in whole numbers: linear below a knee, then steps that double with every octave.

c(x) = x up to the knee K, and K (1 + i) + (x - K 2**i) / 2**i from K 2**i to K 2**(i+1), negative values mirrored. A
knee of 0 is no companding. In plain torch; kernels have twins of their own.

Twin of values/lattice/compand.py.
"""

from __future__ import annotations

import torch

OCTAVES = 31


def companded(x: torch.Tensor, knee: int) -> torch.Tensor:
    """int64 companded values of lattice values below 2^53, rounded towards 0."""
    size = x.long().abs()
    if not knee:
        return x.long()
    octave = (torch.frexp((size // knee).double())[1].long() - 1).clamp(min=0)
    return x.long().sign() * (knee * octave + (size >> octave))


def expanded(c: torch.Tensor, knee: int) -> torch.Tensor:
    """int64 lattice values of companded ones below 2^29, the exact inverse; at most 31 octaves."""
    size = c.long().abs()
    if not knee:
        return c.long()
    octave = (size // knee - 1).clamp(0, OCTAVES)
    return c.long().sign() * ((size - knee * octave) << octave)
