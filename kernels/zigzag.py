"""torch transcription of values/lattice/residual.py: residuals as symbols and raw bits.

kernels/reconstruct has the inverse. Of a residual q of scale class c, the low w = max(0, (c - 16) div 4 - 1) bits are
raw; the zigzag of q >> w (0, -1, 1, -2, ... become 0, 1, 2, 3, ...) is the symbol. A zigzag of 63 or more, or one that
its class cannot code, is an escape, symbol 63: the zigzag plus one follows raw, first 5 bits that say how many bits it
has, then those bits. A batch has all low bits, then all sizes, then all escaped values. Letters: U batches, one after
the other among the n residuals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

ESCAPE = 63
_SIZE_BITS = 5


def symbols(residuals: torch.Tensor, classes: torch.Tensor, coded: torch.Tensor | None = None) -> torch.Tensor:
    """(n,) uint8 of residuals (n,) int32, within 2^27, and scale classes (n,) uint8, below 64.

    coded: (64, 64) bool, which symbols each class can code; None where it can code all.
    """
    numbers = zigzag(residuals, classes).clamp_(max=ESCAPE)
    if coded is not None:
        numbers.masked_fill_(~coded.view(-1)[classes.long() * (ESCAPE + 1) + numbers], ESCAPE)
    return numbers.to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Raw:
    """m raw values of U batches.

    values: (m,) int32, below 2^24;
    batch: (m,) int64, the batch of each;
    at: (m,) int64, the bit that it begins with there;
    sizes: (U,) int64, bits of each batch.
    """

    values: torch.Tensor
    batch: torch.Tensor
    at: torch.Tensor
    sizes: torch.Tensor


def raw(residuals: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, starts: torch.Tensor) -> Raw:
    """The raw values of residuals (n,) with scale classes and symbols (n,); starts: (U + 1,) int64, of batches."""
    widths = width(classes)
    before = _sums(widths)
    lows, (wide, batch) = before[starts].diff(), _listed(widths > 0, starts)
    low = residuals[wide] & (1 << widths[wide]) - 1, batch, before[wide] - before[starts[batch]]
    escapes, batch = _listed(symbols == ESCAPE, starts)
    escaped = zigzag(residuals[escapes], classes[escapes]) + 1
    bits = torch.frexp(escaped.double())[1].long()
    first, before = torch.searchsorted(escapes, starts), _sums(bits)
    rank = torch.arange(len(escapes), device=escapes.device) - first[batch]
    counts = first.diff()
    size = bits, batch, lows[batch] + _SIZE_BITS * rank
    value = escaped, batch, lows[batch] + _SIZE_BITS * counts[batch] + before[:-1] - before[first[batch]]
    sizes = lows + _SIZE_BITS * counts + before[first].diff()
    values, batches, at = (torch.cat(columns) for columns in zip(low, size, value, strict=True))
    return Raw(values=values.to(torch.int32), batch=batches, at=at, sizes=sizes)


def width(classes: torch.Tensor) -> torch.Tensor:
    """(n,) int32: how many low bits of a residual of each scale class are raw."""
    return ((classes.to(torch.int32) >> 2) - 5).clamp_(min=0)


def zigzag(residuals: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """(n,) int32: 0, 1, 2, 3, ... of 0, -1, 1, -2, ..., low bits left out."""
    high = residuals >> width(classes)
    return (high << 1) ^ (high >> 31)


def _listed(flags: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where flags (n,) bool are set, (m,) int64, and the batch of each."""
    numbers = torch.nonzero(flags)[:, 0]
    return numbers, torch.searchsorted(starts, numbers, right=True) - 1


def _sums(counts: torch.Tensor) -> torch.Tensor:
    """(n + 1,) int64: the sum of the counts (n,) before each, and of all."""
    sums = torch.zeros(len(counts) + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, dtype=torch.int64, out=sums[1:])
    return sums
