"""What residuals cost: by the tables that code them, and as a smooth function of a network's outputs (NumPy).

The smooth cost is nearly that of kernels/fit/reference.py: residuals follow a mixture of two logistic distributions;
which class stands for which width is found out first. Its curvatures are those of quadratics that lie above it or
nearly so (majorisation, de Leeuw 1977), so that minimising them never leads too far.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import Tables, code_lengths
from neuralvdb.fit.examples import Examples
from neuralvdb.values.lattice.network import CLASSES, class_of
from neuralvdb.values.lattice.residual import ESCAPE, raw_bits
from neuralvdb.values.lattice.tables import BIT

_TAIL, _WIDER = 0.12, 3.0  # share and width of the second distribution
_LN2 = np.log(2)
_RARE = 1e-9
_FAR = 1 << 22  # steps
_SHIFTS = np.arange(-12, 13) / 4  # of log2 widths, tried
_WORTH = 16.0  # bits that another width must save


class Loss:
    """Bits of residuals. tables: of all classes; dead: (64,) float64, how far residuals of each class are rounded
    towards zero beyond the nearest integer; shifts: (64,) float64, log2 of each class's width over what it says."""

    def __init__(self, tables: Tables, dead: np.ndarray) -> None:
        self._lengths, self._freq, self._dead = code_lengths(tables.freq) / 2**20, tables.freq, dead
        self._width = raw_bits(np.arange(CLASSES, dtype=np.uint8)).astype(np.int64)
        self.shifts = np.zeros(CLASSES)

    def fit_shifts(self, parts: list[tuple[np.ndarray, Examples, float]]) -> None:
        """Finds the shifts from outputs (n, 2), examples, and what each of these stands for."""
        cost = np.zeros((len(_SHIFTS), CLASSES))
        for out, examples, weight in parts:
            _, size, log_width, _ = _residuals(out, examples)
            classes = _classes(out, examples)
            for row, shift in zip(cost, _SHIFTS, strict=True):
                found = -np.log2(np.maximum(_mixture(size, np.exp2(log_width + shift))[0], _RARE))
                row += weight * np.bincount(classes, found, CLASSES)
        best, same = cost.argmin(0), len(_SHIFTS) // 2
        saved = cost[same] - cost.min(0)
        self.shifts = np.where(saved > _WORTH, _SHIFTS[best], 0.0)

    def bits(self, out: np.ndarray, examples: Examples) -> np.ndarray:
        """(n,) bits that the tables take for residuals, and, where they are rounded towards zero, what their error is
        worth in bits; out: (n, 2) outputs of a network."""
        residual, size, _, _ = _residuals(out, examples)
        classes = _classes(out, examples)
        steps = np.sign(residual) * np.floor(size + 0.5 - self._dead[classes])
        width = self._width[classes]
        high = np.clip(steps, -(1 << 22), 1 << 22).astype(np.int64) >> width
        symbol = np.where(high < 0, -2 * high - 1, 2 * high)
        small = np.minimum(symbol, ESCAPE)
        escapes = (small == ESCAPE) | (self._freq[classes, small] == 0)
        escaped = self._lengths[classes, ESCAPE] + 5 + np.frexp(symbol + 1.0)[1]
        found = np.where(escapes, escaped, self._lengths[classes, small]) + width
        return found + (size - np.abs(steps)) ** 2 / BIT if self._dead.any() else found

    def expand(self, out: np.ndarray, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Slopes and curvatures (n, 2) of the smooth cost by the outputs (n, 2)."""
        residual, size, log_width, unit = _residuals(out, examples)
        width = np.exp2(log_width + self.shifts[_classes(out, examples)])
        p, by_size, by_log = _mixture(size, width)
        p = np.maximum(p, _RARE)
        slope = np.maximum(by_size / p / _LN2, 0)
        log_slope = -by_log / p / 16
        near = 1 / (3 * (width * width + 0.25)) / _LN2  # of one logistic distribution, discretised
        curve = np.where(size > 0.25 * width + 0.05, slope / np.maximum(size, 1e-3), near) * unit**2
        log_curve = np.maximum(1.43 * _LN2 / (1 + (0.3 / width) ** 2) / 256, np.abs(log_slope) * _LN2 / 16)
        return np.stack([-slope * np.sign(residual) * unit, log_slope], 1), np.stack([curve, log_curve], 1)


def _residuals(out: np.ndarray, examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residuals in steps, their sizes, log2 of the width that the network says, and steps per unit of out[0]."""
    ratio = examples.ratio.astype(np.float64)
    target = np.clip(np.nan_to_num(examples.target * ratio), -_FAR, _FAR)  # of infinities nothing is learned
    residual = target - out[:, 0] * (ratio / 256)
    log_width = np.clip(examples.scale + out[:, 1] / 16, -5, 14)
    return residual, np.abs(residual), log_width, ratio / 256


def _classes(out: np.ndarray, examples: Examples) -> np.ndarray:
    return class_of(np.rint(examples.scale * 16).astype(np.int64) + out[:, 1].astype(np.int64))


def _mixture(size: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of the unit cell around a residual, and what it loses by size and gains by ln width."""
    found = 0, 0, 0
    for share, wide in ((1 - _TAIL, width), (_TAIL, width * _WIDER)):
        u, v = (0.5 - size) / wide, (-0.5 - size) / wide
        above, below = (0.5 * (1 + np.tanh(0.5 * x)) for x in (u, v))
        du, dv = above * (1 - above), below * (1 - below)
        parts = above - below, (du - dv) / wide, v * dv - u * du
        found = tuple(total + share * part for total, part in zip(found, parts, strict=True))
    return found
