"""The tables of a file: for each class the row that suits its residuals best, among those of all families.

Networks that never saw a file misjudge by how much they are wrong on it; a row of another class or family mends
that for one byte.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import Tables, code_lengths
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.network import CLASSES
from neuralvdb.values.lattice.residual import ESCAPE, raw_bits

BIT = 0.08  # squared error, in steps, that a bit is worth on the mean lattice
MOST = 127  # what costs() has the bits of
_WORTH = 16 << 20  # bits that another row must save, in 2^-20


def own(family: str) -> np.ndarray:
    """(64,) uint8: the rows of a family itself."""
    return (priors.FAMILIES.index(family) * CLASSES + np.arange(CLASSES)).astype(np.uint8)


def chosen(counts: np.ndarray, family: str, freq: np.ndarray) -> np.ndarray:
    """(64,) uint8: the best row of freq (priors.ModelSet) for each class; counts: (64, 64) of symbols by class."""
    symbols = np.arange(ESCAPE + 1)
    bits = code_lengths(freq)
    escaped = bits[:, ESCAPE:] + ((5 + np.frexp(symbols + 1.0)[1].astype(np.int64)) << 20)
    cost = counts @ np.where((freq == 0) & (symbols < ESCAPE), escaped, bits).T
    rows, mine = cost.argmin(1), own(family)
    every = np.arange(CLASSES)
    return np.where(cost[every, rows] + _WORTH < cost[every, mine], rows, mine).astype(np.uint8)


def dead_zones(family: str, freq: np.ndarray) -> np.ndarray:
    """(64,) float64: by how much residuals of each class are best rounded towards zero on the mean lattice.

    Rounding that minimises squared error + lambda bits moves the threshold between 0 and 1 by half of lambda times the
    bits that a 1 costs more; lambda is two thirds of what theory has for many bits, 2 ln 2 / 12 (measured best).
    """
    bits = code_lengths(freq[own(family)]) / 2**20
    more = (bits[:, 1] + bits[:, 2]) / 2 - bits[:, 0]
    return np.where(raw_bits(np.arange(CLASSES, dtype=np.uint8)) > 0, 0.0, BIT / 2 * more).clip(0, 0.45)


def tables_of(rows: np.ndarray, freq: np.ndarray) -> Tables:
    """The tables that rows (64,) uint8 stand for."""
    return Tables(freq[rows])


def costs(tables: Tables) -> np.ndarray:
    """(64, 2 MOST + 1) float64 bits of residuals -MOST to MOST of each class."""
    lengths = code_lengths(tables.freq) / 2**20
    residual = np.arange(-MOST, MOST + 1)
    found = []
    for c, width in enumerate(raw_bits(np.arange(CLASSES, dtype=np.uint8)).tolist()):
        high = residual >> width
        symbol = np.where(high < 0, -2 * high - 1, 2 * high)
        small = np.minimum(symbol, ESCAPE)
        plain = (symbol < ESCAPE) & (tables.freq[c, small] > 0)
        escaped = lengths[c, ESCAPE] + 5 + np.frexp(symbol + 1.0)[1]
        found.append(np.where(plain, lengths[c, small], escaped) + width)
    return np.stack(found)
