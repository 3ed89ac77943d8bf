"""Residuals as symbols of 64 and raw bits.

A residual q, an integer number of steps, is met with a scale class c (network.py). Its low w(c) bits are raw, where
the distribution is flat; the rest, folded to 0, -1, 1, -2, ... -> 0, 1, 2, 3, ..., is the symbol. What is 63 or more
or has no frequency in its class, escapes as symbol 63: 5 raw bits say how many bits the folded value plus one has, then
those follow.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import MAX_WIDTH, Decoder, Encoder, Tables
from neuralvdb.values.lattice.network import CLASSES

ESCAPE = 63
MAX_RESIDUAL = 1 << 22  # folded, that has 24 bits
_WIDTH_BITS = 5


def raw_bits(classes: np.ndarray) -> np.ndarray:
    """(n,) uint8: how many low bits of a residual of each class are raw."""
    return np.maximum((classes.astype(np.int16) - 16) // 4 - 1, 0).astype(np.uint8)


class Record:
    """The residuals of a stream, kept until it is known with which tables they are to be written."""

    def __init__(self) -> None:
        self.counts = np.zeros((CLASSES, ESCAPE + 1), np.int64)  # of symbols by class
        self._batches: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def put(self, residuals: np.ndarray, classes: np.ndarray) -> None:
        """Appends residuals (n,) int64, within MAX_RESIDUAL, with their classes (n,) uint8."""
        symbols = np.minimum(_folded(residuals, classes), ESCAPE).astype(np.uint8)
        pairs = classes.astype(np.int64) * (ESCAPE + 1) + symbols
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)
        small = len(residuals) == 0 or np.abs(residuals).max() < 1 << 15
        self._batches.append((residuals.astype(np.int16 if small else np.int32), classes, symbols))

    def written(self, tables: Tables) -> Encoder:
        """An encoder with all of them."""
        out = Encoder(tables)
        for kept, classes, symbols in self._batches:
            residuals = kept.astype(np.int32)
            symbols = np.where(tables.freq[classes, symbols] > 0, symbols, np.uint8(ESCAPE))
            out.put(classes, symbols)
            width = raw_bits(classes)
            some = width > 0
            out.put_bits((residuals[some] & ((1 << width[some].astype(np.int32)) - 1)).astype(np.uint32), width[some])
            rare = symbols == ESCAPE
            escaped = _folded(residuals[rare].astype(np.int64), classes[rare]) + 1
            sizes = np.frexp(escaped.astype(np.float64))[1].astype(np.uint8)
            out.put_bits(sizes.astype(np.uint32), np.full(len(sizes), _WIDTH_BITS, np.uint8))
            out.put_bits(escaped.astype(np.uint32), sizes)
        return out


def _folded(residuals: np.ndarray, classes: np.ndarray) -> np.ndarray:
    high = residuals >> raw_bits(classes)
    return np.where(high < 0, -2 * high - 1, 2 * high)


def take(source: Decoder, classes: np.ndarray) -> np.ndarray:
    """The residuals (n,) int64 of a batch of a Record. Raises DamagedFile."""
    symbols = source.take(classes)
    width = raw_bits(classes)
    low = source.take_bits(width).astype(np.int64)
    folded = symbols.astype(np.int64)
    escaped = symbols == ESCAPE
    sizes = source.take_bits(np.full(int(escaped.sum()), _WIDTH_BITS, np.uint8)).astype(np.uint8)
    folded[escaped] = source.take_bits(np.minimum(sizes, MAX_WIDTH)).astype(np.int64) - 1
    high = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
    return (high << width) + low
