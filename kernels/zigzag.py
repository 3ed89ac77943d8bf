"""Residuals as symbols and raw bits, in plain torch: the inverse of what kernels/reconstruct reads.

Of a residual q of class c, the low w = max(0, (c - 16) div 4 - 1) bits are raw; q >> w, folded as 0, -1, 1, -2, ... to
0, 1, 2, 3, ..., is the symbol. What is 63 or more or cannot be coded in its class is an escape, symbol 63: the folded
value plus one follows as 5 raw bits, how many bits it has, and those bits. A batch has all low bits, then all sizes,
then all escaped values. Letters: U batches, one after the other among the n residuals.

Twin of values/lattice/residual.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

ESCAPE = 63
_SIZE_BITS = 5


def symbols(residuals: torch.Tensor, classes: torch.Tensor, coded: torch.Tensor | None = None) -> torch.Tensor:
    """(n,) uint8 of residuals (n,) int32, within 2^27, and classes (n,) uint8, below 64.

    coded: (64, 64) bool, which symbols each class can code, all of them where it is None.
    """
    found = folded(residuals, classes).clamp_(max=ESCAPE)
    if coded is not None:
        found.masked_fill_(~coded.view(-1)[classes.long() * (ESCAPE + 1) + found], ESCAPE)
    return found.to(torch.uint8)


@dataclass
class Raw:
    """m raw values of U batches. values: (m,) int32, below 2^24; batch: (m,) int64, whose each is; at: (m,) int64, the
    bit that it begins with there; sizes: (U,) int64, bits of each batch."""

    values: torch.Tensor
    batch: torch.Tensor
    at: torch.Tensor
    sizes: torch.Tensor


def raw(residuals: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, starts: torch.Tensor) -> Raw:
    """What is raw of residuals (n,) whose classes and symbols are known; starts: (U + 1,) int64, of batches."""
    widths = width(classes)
    before = _sums(widths)
    lows, (wide, of) = before[starts].diff(), _listed(widths > 0, starts)
    low = residuals[wide] & (1 << widths[wide]) - 1, of, before[wide] - before[starts[of]]
    rare, of = _listed(symbols == ESCAPE, starts)
    escaped = folded(residuals[rare], classes[rare]) + 1
    bits = torch.frexp(escaped.double())[1].long()
    first, before = torch.searchsorted(rare, starts), _sums(bits)
    rank = torch.arange(len(rare), device=rare.device) - first[of]
    counts = first.diff()
    size = bits, of, lows[of] + _SIZE_BITS * rank
    value = escaped, of, lows[of] + _SIZE_BITS * counts[of] + before[:-1] - before[first[of]]
    sizes = lows + _SIZE_BITS * counts + before[first].diff()
    values, batch, at = (torch.cat(parts) for parts in zip(low, size, value, strict=True))
    return Raw(values.to(torch.int32), batch, at, sizes)


def width(classes: torch.Tensor) -> torch.Tensor:
    """(n,) int32: how many low bits of a residual of each class are raw."""
    return ((classes.to(torch.int32) >> 2) - 5).clamp_(min=0)


def folded(residuals: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """(n,) int32: 0, 1, 2, 3, ... of 0, -1, 1, -2, ..., low bits left out."""
    high = residuals >> width(classes)
    return (high << 1) ^ (high >> 31)


def _listed(there: torch.Tensor, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers (m,) int64 of what is there (n,) bool, and the batch of each."""
    found = torch.nonzero(there)[:, 0]
    return found, torch.searchsorted(starts, found, right=True) - 1


def _sums(counts: torch.Tensor) -> torch.Tensor:
    """(n + 1,) int64: sums of what is before each of counts (n,), and of all."""
    found = torch.zeros(len(counts) + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, dtype=torch.int64, out=found[1:])
    return found
