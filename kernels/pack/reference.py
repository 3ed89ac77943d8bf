"""torch transcription of archive/rans.py: raw values put together one bit after the other."""

from __future__ import annotations

import torch


def pack(values: torch.Tensor, at: torch.Tensor, words: torch.Tensor) -> None:
    """Arguments as in the package."""
    bits = [word & 0xFFFFFFFF for word in words.tolist()]
    for value, begin in zip(values.tolist(), at.tolist(), strict=True):
        for bit in range(value.bit_length()):
            bits[begin + bit >> 5] |= (value >> bit & 1) << (begin + bit & 31)
    words.copy_(torch.tensor([word - (word >> 31 << 32) for word in bits], dtype=torch.int32))
