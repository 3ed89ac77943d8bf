"""Residuals from symbols and raw bits, added to predictions and written to their points."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.dispatch import checked, select

ESCAPE = 63
BLOCK = 1024  # points of one stream that a program takes
TOP = 1 << 28  # reconstructed values are clamped to plus or minus this


@dataclass(frozen=True, kw_only=True)
class RawBits:
    """The raw bits of D streams; `at` moves on as they are read.

    words: (M,) int32, the bits of uint32, two words more than are needed;
    at: (D,) int64, the next bit of each stream;
    end: (D,) int64, behind its last;
    selected: (S,) int64, which of the D streams each stream of points is; None where they are the same;
    scratch: (scratch_size(n, S),) int64, where reconstruct() keeps notes; None for memory of its own.
    """

    words: torch.Tensor
    at: torch.Tensor
    end: torch.Tensor
    selected: torch.Tensor | None = None
    scratch: torch.Tensor | None = None

    def __post_init__(self) -> None:
        checked("words", self.words, torch.int32, None)
        checked("at", self.at, torch.int64, None)
        checked("end", self.end, torch.int64, len(self.at))
        if self.selected is not None:
            checked("selected", self.selected, torch.int64, None)

    @property
    def streams(self) -> int:
        """How many streams of points there are."""
        return len(self.at if self.selected is None else self.selected)


def scratch_size(n: int, streams: int) -> int:
    """How many numbers reconstruct() notes, for n points of so many streams."""
    return 2 * (n // BLOCK + streams) + streams


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
    checked("starts", destination.targets.starts, torch.int64, bits.streams + 1)
    run = select(__name__, "reconstruct", implementation, symbols)
    if bits.scratch is not None:
        checked("scratch", bits.scratch, torch.int64, scratch_size(len(symbols), bits.streams))
    run(symbols, predictions, destination, quant_step, bits)
