"""Residuals as symbols of 64 and raw bits.

A residual q, an integer number of steps, is met with a scale class c (network.py). Its low w(c) bits are raw, where
the distribution is flat; the rest, folded to 0, -1, 1, -2, ... -> 0, 1, 2, 3, ..., is the symbol. What is 63 or more
or has no frequency in its class, escapes as symbol 63: 5 raw bits say how many bits the folded value plus one has, then
those follow.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import MAX_WIDTH, Decoder, Encoder, Tables
from neuralvdb.values.lattice.levels import POINTS, pieces
from neuralvdb.values.lattice.network import CLASSES

ESCAPE = 63
MAX_RESIDUAL = 1 << 22  # folded, that has 24 bits
_WIDTH_BITS = 5


def raw_bits(classes: np.ndarray) -> np.ndarray:
    """(n,) uint8: how many low bits of a residual of each class are raw."""
    return np.maximum((classes.astype(np.int16) - 16) // 4 - 1, 0).astype(np.uint8)


class SymbolBuffer:
    """The residuals of a stream, kept until it is known with which tables they are to be written."""

    def __init__(self) -> None:
        self.counts = np.zeros((CLASSES, ESCAPE + 1), np.int64)  # of symbols by class
        self._batches: list[list[tuple[np.ndarray, np.ndarray]]] = [[]]

    def put(self, residuals: np.ndarray, classes: np.ndarray) -> None:
        """Adds residuals (n,) int64, within MAX_RESIDUAL, with their classes (n,) uint8, to the last batch."""
        if not len(residuals):
            return
        pairs = classes.astype(np.int64) * (ESCAPE + 1) + _symbols(residuals, classes)
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)
        kind = np.min_scalar_type(-1 - int(np.abs(residuals).max()))
        self._batches[-1].append((residuals.astype(kind), classes.copy()))

    def end(self) -> None:
        """Ends a batch."""
        self._batches.append([])

    def written(self, tables: Tables) -> Encoder:
        """An encoder with all batches that have ended, which are forgotten."""
        out = Encoder(tables)
        self._batches.pop()
        while self._batches:
            parts = self._batches.pop(0)
            if parts:
                _write(out, tables, *(np.concatenate(part) for part in zip(*parts, strict=True)))
        return out


def _write(out: Encoder, tables: Tables, residuals: np.ndarray, classes: np.ndarray) -> None:
    """Appends a batch: all symbols, all low bits, all sizes of escaped values, all escaped values."""
    parts: list[tuple[np.ndarray, ...]] = []
    for some in pieces(len(residuals), POINTS):
        q, c = residuals[some].astype(np.int32), classes[some]
        symbols = _symbols(q, c)
        symbols = np.where(tables.freq[c, symbols] > 0, symbols, np.uint8(ESCAPE))
        width = raw_bits(c)
        low = width > 0
        bits = (q[low] & ((1 << width[low].astype(np.int32)) - 1)).astype(np.uint32)
        rare = symbols == ESCAPE
        parts.append((symbols, bits, width[low], (_folded(q[rare].astype(np.int64), c[rare]) + 1).astype(np.uint32)))
    symbols, bits, width, escaped = (np.concatenate(part) for part in zip(*parts, strict=True))
    sizes = np.frexp(escaped.astype(np.float64))[1].astype(np.uint8)
    out.put(classes, symbols)
    out.put_bits(bits, width)
    out.put_bits(sizes.astype(np.uint32), np.full(len(sizes), _WIDTH_BITS, np.uint8))
    out.put_bits(escaped, sizes)


def _symbols(residuals: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) uint8, whatever is too large escaped."""
    return np.minimum(_folded(residuals, classes), ESCAPE).astype(np.uint8)


def _folded(residuals: np.ndarray, classes: np.ndarray) -> np.ndarray:
    high = residuals >> raw_bits(classes)
    return np.where(high < 0, -2 * high - 1, 2 * high)


def take(source: Decoder, classes: np.ndarray) -> np.ndarray:
    """The residuals (n,) int32 of a batch of a SymbolBuffer. Raises DamagedFile."""
    symbols = source.take(classes)
    found = np.empty(len(symbols), np.int32)
    for some in pieces(len(symbols), POINTS):
        found[some] = source.take_bits(raw_bits(classes[some]))
    rare = np.nonzero(symbols == ESCAPE)[0]
    sizes = source.take_bits(np.full(len(rare), _WIDTH_BITS, np.uint8)).astype(np.uint8)
    escaped = source.take_bits(np.minimum(sizes, MAX_WIDTH)).astype(np.int64) - 1
    for some in pieces(len(symbols), POINTS):
        found[some] += (_unfolded(symbols[some].astype(np.int64)) << raw_bits(classes[some])).astype(np.int32)
    low = found[rare] & ((1 << raw_bits(classes[rare]).astype(np.int32)) - 1)
    found[rare] = (_unfolded(escaped) << raw_bits(classes[rare])) + low
    return found


def _unfolded(folded: np.ndarray) -> np.ndarray:
    return np.where(folded & 1, -(folded + 1) // 2, folded // 2)
