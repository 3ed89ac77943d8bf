"""The tables of a file: for each scale class the row that suits its residuals best, among those of all families.

Networks that never saw a file misjudge by how much they are wrong on it; a row of another class or family mends that
for one byte.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import Tables, code_lengths
from neuralvdb.values.lattice.constants import ESCAPE, SCALE_CLASSES
from neuralvdb.values.lattice.kind import FAMILIES
from neuralvdb.values.lattice.residual import escape_bits, price, raw_width

ERROR_PER_BIT = 0.08  # squared error, in steps, that a bit is worth on the mean lattice
MOST = 127  # costs() has the bits of residuals up to this
_LENGTH_BITS = 20  # fraction bits of code lengths
_WORTH = 16 << _LENGTH_BITS  # bits that another row must save
_CLASSES = np.arange(SCALE_CLASSES, dtype=np.uint8)


def default_rows(family: str) -> np.ndarray:
    """(64,) uint8: the rows of a family itself."""
    return (FAMILIES.index(family) * SCALE_CLASSES + np.arange(SCALE_CLASSES)).astype(np.uint8)


def select_rows(counts: np.ndarray, family: str, freq: np.ndarray) -> np.ndarray:
    """(64,) uint8: the best row of freq (priors.ModelSet) for each class; counts: (64, 64) of symbols by class."""
    symbols, classes = np.flatnonzero(counts.any(0)), np.flatnonzero(counts.any(1))
    bits = code_lengths(freq)
    escaped = bits[:, ESCAPE:] + (escape_bits(symbols) << _LENGTH_BITS)
    cost = np.zeros((SCALE_CLASSES, len(freq)), np.int64)
    of_symbols = np.where((freq[:, symbols] == 0) & (symbols < ESCAPE), escaped, bits[:, symbols])
    cost[classes] = counts[np.ix_(classes, symbols)] @ of_symbols.T
    best, default = cost.argmin(1), default_rows(family)
    every = np.arange(SCALE_CLASSES)
    return np.where(cost[every, best] + _WORTH < cost[every, default], best, default).astype(np.uint8)


def dead_zones(family: str, freq: np.ndarray) -> np.ndarray:
    """(64,) float64: by how much residuals of each class are best rounded towards zero on the mean lattice.

    Rounding that minimises squared error + lambda bits moves the threshold between 0 and 1 by half of lambda times the
    bits that a 1 costs more; lambda is two thirds of what theory has for many bits, 2 ln 2 / 12 (measured best).
    """
    bits = code_lengths(freq[default_rows(family)]) / 2**_LENGTH_BITS
    more = (bits[:, 1] + bits[:, 2]) / 2 - bits[:, 0]
    return np.where(raw_width(_CLASSES) > 0, 0.0, ERROR_PER_BIT / 2 * more).clip(0, 0.45)


def tables_of(rows: np.ndarray, freq: np.ndarray) -> Tables:
    """The tables that rows (64,) uint8 stand for."""
    return Tables(freq[rows])


def costs(tables: Tables) -> np.ndarray:
    """(64, 2 MOST + 1) float64 bits of residuals -MOST to MOST of each class."""
    residuals, classes = np.broadcast_arrays(np.arange(-MOST, MOST + 1), _CLASSES[:, None])
    return price(residuals, classes, code_lengths(tables.freq) / 2**_LENGTH_BITS, tables.freq > 0)
