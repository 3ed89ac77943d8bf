"""The definition, in plain Python: one bit after the other.

Twin of archive/rans.py.
"""

from __future__ import annotations

import torch


def pack(values: torch.Tensor, at: torch.Tensor, words: torch.Tensor) -> None:
    """Arguments as in the package."""
    found = [word & 0xFFFFFFFF for word in words.tolist()]
    for value, place in zip(values.tolist(), at.tolist(), strict=True):
        for bit in range(value.bit_length()):
            found[place + bit >> 5] |= (value >> bit & 1) << (place + bit & 31)
    words.copy_(torch.tensor([word - (word >> 31 << 32) for word in found], dtype=torch.int32))
