"""Residuals from symbols and raw bits, added to predictions and put in their places."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, chosen

ESCAPE = 63
TOP = 1 << 28  # reconstructed values are clamped to plus or minus this


@dataclass
class RawBits:
    """The raw bits of D streams. words: (M,) int32, the bits of uint32, two more than are needed; at: (D,) int64, the
    next bit of each stream; end: (D,) int64, behind its last."""

    words: torch.Tensor
    at: torch.Tensor
    end: torch.Tensor

    def __post_init__(self) -> None:
        checked("words", self.words, torch.int32, None)
        checked("at", self.at, torch.int64, None)
        checked("end", self.end, torch.int64, len(self.at))


def reconstruct(
    symbols: torch.Tensor,
    classes: torch.Tensor,
    predictions: torch.Tensor,
    targets: torch.Tensor,
    starts: torch.Tensor,
    bits: RawBits,
    step: int,
    values: torch.Tensor,
    known: torch.Tensor | None = None,
    *,
    implementation: str = "auto",
) -> None:
    """values[targets] = prediction + residual * step, clamped to +-2^28; known[targets] = 1; the bits move on.

    symbols, classes: (n,) uint8, predictions: (n,) int64, targets: (n,) int32, flat places in values, stream after
    stream; starts: (D + 1,) int64, where each stream begins; values: (...) int32; known: (...) uint8. Beyond a stream's
    last bit 0 is read, and bits.at > bits.end tells. Raises ValueError on other shapes or types.
    """
    n = len(symbols)
    for name, tensor, dtype in (
        ("symbols", symbols, torch.uint8),
        ("classes", classes, torch.uint8),
        ("predictions", predictions, torch.int64),
        ("targets", targets, torch.int32),
    ):
        checked(name, tensor, dtype, n)
    checked("starts", starts, torch.int64, len(bits.at) + 1)
    checked("values", values.view(-1), torch.int32, None)
    if known is not None:
        checked("known", known.view(-1), torch.uint8, values.numel())
    return chosen(__name__, "reconstruct", implementation, symbols)(
        symbols, classes, predictions, targets, starts, bits, step, values, known
    )
