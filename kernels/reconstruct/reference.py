"""The definition, in plain Python: one stream and one point after the other.

Of a residual q of class c, the low w = max(0, (c - 16) div 4 - 1) bits are raw; q >> w, folded as 0, -1, 1, -2, ... to
0, 1, 2, 3, ..., is the symbol. Symbol 63 is an escape: the folded value plus one follows as 5 raw bits, how many bits
it has, and those bits (24 at most). A batch has all low bits, then all sizes, then all escaped values.

Twin of values/lattice/residual.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from neuralvdb.kernels.reconstruct import RawBits

_ESCAPE, _TOP, _MAX_WIDTH = 63, 1 << 28, 24


def reconstruct(
    symbols: torch.Tensor,
    classes: torch.Tensor,
    predictions: torch.Tensor,
    targets: torch.Tensor,
    starts: torch.Tensor,
    bits: RawBits,
    step: int,
    values: torch.Tensor,
    known: torch.Tensor | None,
) -> None:
    """Arguments as in the package."""
    words, bounds, at = bits.words.tolist(), starts.tolist(), bits.at.tolist()
    residuals = []
    for d, end in enumerate(bits.end.tolist()):

        def take(width: int, d: int = d, end: int = end) -> int:
            places = range(at[d], at[d] + width)
            at[d] += width
            return sum((words[p >> 5] >> (p & 31) & 1) << i for i, p in enumerate(places) if p < end)

        some = slice(bounds[d], bounds[d + 1])
        widths = [max((c - 16) // 4 - 1, 0) for c in classes[some].tolist()]
        low = [take(width) for width in widths]
        sizes = [take(5) if symbol == _ESCAPE else 0 for symbol in symbols[some].tolist()]
        for symbol, size, width, rest in zip(symbols[some].tolist(), sizes, widths, low, strict=True):
            folded = take(min(size, _MAX_WIDTH)) - 1 if symbol == _ESCAPE else symbol
            high = -(folded + 1) // 2 if folded & 1 else folded // 2
            residuals.append((high << width) + rest)
    bits.at.copy_(torch.tensor(at))
    q = torch.tensor(residuals, dtype=torch.int64, device=values.device)
    values.view(-1)[targets.long()] = (predictions + q * step).clamp(-_TOP, _TOP).to(torch.int32)
    if known is not None:
        known.view(-1)[targets.long()] = 1
