"""torch transcription of values/lattice/residual.py: one point after the other.

Of a residual q of scale class c, the low w = max(0, (c - 16) div 4 - 1) bits are raw; the zigzag of q >> w (0, -1, 1,
-2, ... become 0, 1, 2, 3, ...) is the symbol. Symbol 63 is an escape: the zigzag plus one follows raw, first 5 bits
that say how many bits it has, then those bits (24 at most). A batch has all low bits, then all sizes, then all escaped
values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.bricks import Destination, Predictions

if TYPE_CHECKING:
    from neuralvdb.kernels.reconstruct import RawBits

_ESCAPE, _TOP, _MAX_WIDTH = 63, 1 << 28, 24


def reconstruct(
    symbols: torch.Tensor, predictions: Predictions, destination: Destination, quant_step: int, bits: RawBits
) -> None:
    """Arguments as in the package; needs no notes."""
    words, bounds, at = bits.words.tolist(), destination.targets.starts.tolist(), bits.at.tolist()
    residuals: list[int] = []
    for number, d in enumerate(range(len(at)) if bits.selected is None else bits.selected.tolist()):
        points = slice(bounds[number], bounds[number + 1])
        reader = _BitReader(words, at[d], int(bits.end[d]))
        residuals += _residuals(symbols[points].tolist(), predictions.scale_classes[points].tolist(), reader)
        at[d] = reader.at
    bits.at.copy_(torch.tensor(at))
    q = torch.tensor(residuals, dtype=torch.int64, device=symbols.device)
    where = destination.targets.points.long()
    destination.values.view(-1)[where] = (predictions.values + q * quant_step).clamp(-_TOP, _TOP).to(torch.int32)
    if destination.known is not None:
        destination.known.view(-1)[where] = 1


class _BitReader:
    """Reads bits of words of 32, lowest first, from bit `at` on; those from bit `end` on read as 0."""

    def __init__(self, words: list[int], at: int, end: int) -> None:
        self._words, self.at, self._end = words, at, end

    def read(self, width: int) -> int:
        """The next `width` bits."""
        begin, self.at = self.at, self.at + width
        stop = min(self.at, self._end)
        return sum((self._words[p >> 5] >> (p & 31) & 1) << (p - begin) for p in range(begin, stop))


def _residuals(symbols: list[int], scale_classes: list[int], reader: _BitReader) -> list[int]:
    """The residuals of one stream."""
    widths = [max((c - 16) // 4 - 1, 0) for c in scale_classes]
    lows = [reader.read(width) for width in widths]
    sizes = [reader.read(5) if symbol == _ESCAPE else 0 for symbol in symbols]
    residuals = []
    for symbol, size, width, low in zip(symbols, sizes, widths, lows, strict=True):
        zigzag = reader.read(min(size, _MAX_WIDTH)) - 1 if symbol == _ESCAPE else symbol
        high = -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2
        residuals.append((high << width) + low)
    return residuals
