"""Raw values put together bit by bit."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, select


def pack(values: torch.Tensor, at: torch.Tensor, words: torch.Tensor, *, implementation: str = "auto") -> None:
    """Bits at[i], at[i] + 1, ... of words, (W,) int32 with the bits of uint32, become those of values[i], lowest first.

    values: (m,) int32, 0 to 2^24 - 1; at: (m,) int64. The bits must be 0 before, and no two values may meet. Raises
    ValueError on other shapes or types.
    """
    checked("values", values, torch.int32, None)
    checked("at", at, torch.int64, len(values))
    checked("words", words, torch.int32, None)
    return select(__name__, "pack", implementation, words)(values, at, words)
