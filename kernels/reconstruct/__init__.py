"""Residuals from symbols and raw bits, added to predictions and written to their points."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.dispatch import checked, select

ESCAPE = 63
TOP = 1 << 28  # reconstructed values are clamped to plus or minus this


@dataclass(frozen=True, kw_only=True)
class RawBits:
    """The raw bits of D streams; `at` moves on as they are read.

    words: (M,) int32, the bits of uint32, two words more than are needed;
    at: (D,) int64, the next bit of each stream;
    end: (D,) int64, behind its last.
    """

    words: torch.Tensor
    at: torch.Tensor
    end: torch.Tensor

    def __post_init__(self) -> None:
        checked("words", self.words, torch.int32, None)
        checked("at", self.at, torch.int64, None)
        checked("end", self.end, torch.int64, len(self.at))


def reconstruct(
    symbols: torch.Tensor,
    predictions: Predictions,
    destination: Destination,
    quant_step: int,
    bits: RawBits,
    *,
    implementation: str = "auto",
) -> None:
    """The destination gets prediction + residual * quant_step, clamped to +-2^28; the bits move on.

    symbols: (n,) uint8. Beyond a stream's last bit 0 is read, and bits.at > bits.end tells. Raises ValueError on other
    shapes or types.
    """
    checked("symbols", symbols, torch.uint8, len(destination.targets))
    checked("predictions", predictions.values, torch.int64, len(symbols))
    checked("starts", destination.targets.starts, torch.int64, len(bits.at) + 1)
    run = select(__name__, "reconstruct", implementation, symbols)
    run(symbols, predictions, destination, quant_step, bits)
