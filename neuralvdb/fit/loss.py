"""What residuals cost: by the tables that code them, and as a smooth function of a network's outputs (NumPy).

The smooth cost is nearly that of kernels/fit/reference.py: residuals follow a mixture of two logistic distributions.
Which scale class stands for which width is measured first. Its curvatures are those of quadratics that lie above it or
nearly so (majorisation, de Leeuw 1977), so that minimising them never leads too far. Letters in shapes: n examples.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import Tables, code_lengths
from neuralvdb.dataclass import dataclass
from neuralvdb.fit.examples import Examples, Sample
from neuralvdb.fit.quadratic import Expansion
from neuralvdb.values.lattice.constants import MAX_RESIDUAL, SCALE_CLASSES
from neuralvdb.values.lattice.network import scale_class_of
from neuralvdb.values.lattice.residual import price
from neuralvdb.values.lattice.tables import ERROR_PER_BIT

_TAIL, _WIDER = 0.12, 3.0  # share and width of the second distribution
_LN2 = np.log(2)
_RARE = 1e-9
_SHIFTS = np.arange(-12, 13) / 4  # of log2 widths, tried
_WORTH = 16.0  # bits that another width must save


@dataclass(frozen=True)
class Outputs:
    """What a network gives for a sample: values (n, 2) float64."""

    values: np.ndarray
    sample: Sample


class Loss:
    """Bits of residuals.

    tables: of all scale classes.
    dead_zone: (64,) float64, how far residuals of each class are rounded towards zero beyond the nearest integer.
    shifts: (64,) float64, log2 of the width that each class has, over the width that it says; 0 until fit_shifts().
    """

    def __init__(self, tables: Tables, dead_zone: np.ndarray) -> None:
        self._lengths, self._coded, self._dead_zone = code_lengths(tables.freq) / 2**20, tables.freq > 0, dead_zone
        self.shifts = np.zeros(SCALE_CLASSES)

    def fit_shifts(self, outputs: list[Outputs]) -> None:
        """Sets the shifts to those under which the smooth cost of all outputs is smallest."""
        cost = np.zeros((len(_SHIFTS), SCALE_CLASSES))
        for each in outputs:
            examples = each.sample.examples
            residuals, classes = _residuals(each.values, examples), _classes(each.values, examples)
            for shifted, shift in zip(cost, _SHIFTS, strict=True):
                bits = _mixture(residuals.size, np.exp2(residuals.log_width + shift)).bits
                shifted += each.sample.weight * np.bincount(classes, bits, SCALE_CLASSES)
        best, same = cost.argmin(0), len(_SHIFTS) // 2
        saved = cost[same] - cost.min(0)
        self.shifts = np.where(saved > _WORTH, _SHIFTS[best], 0.0)

    def bits(self, outputs: np.ndarray, examples: Examples) -> np.ndarray:
        """(n,) bits that the tables take for residuals, and, where they are rounded towards zero, what their error is
        worth in bits; outputs: (n, 2) of a network."""
        residuals, classes = _residuals(outputs, examples), _classes(outputs, examples)
        rounded = np.sign(residuals.value) * np.floor(residuals.size + 0.5 - self._dead_zone[classes])
        bits = price(
            np.clip(rounded, -MAX_RESIDUAL, MAX_RESIDUAL).astype(np.int64), classes, self._lengths, self._coded
        )
        return bits + (residuals.size - np.abs(rounded)) ** 2 / ERROR_PER_BIT if self._dead_zone.any() else bits

    def expand(self, outputs: np.ndarray, examples: Examples) -> Expansion:
        """Slopes and curvatures (n, 2) of the smooth cost by the outputs (n, 2)."""
        residuals = _residuals(outputs, examples)
        size, unit = residuals.size, residuals.unit
        width = np.exp2(residuals.log_width + self.shifts[_classes(outputs, examples)])
        mixture = _mixture(size, width)
        p = np.maximum(mixture.probability, _RARE)
        slope = np.maximum(mixture.by_size / p / _LN2, 0)
        log_slope = -mixture.by_log_width / p / 16
        near = 1 / (3 * (width * width + 0.25)) / _LN2  # of one logistic distribution, discretised
        curve = np.where(size > 0.25 * width + 0.05, slope / np.maximum(size, 1e-3), near) * unit**2
        log_curve = np.maximum(1.43 * _LN2 / (1 + (0.3 / width) ** 2) / 256, np.abs(log_slope) * _LN2 / 16)
        slopes = np.stack([-slope * np.sign(residuals.value) * unit, log_slope], 1)
        return Expansion(slopes, np.stack([curve, log_curve], 1))


@dataclass(frozen=True)
class _Residuals:
    """What outputs leave of examples, (n,) float64 each.

    value, size: residuals in quantisation steps, and their absolute values.
    log_width: log2 of the width that the network says.
    unit: steps that outputs[:, 0] counts in.
    """

    value: np.ndarray
    size: np.ndarray
    log_width: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class _Mixture:
    """Of the unit cell around each residual, (n,) float64 each: its probability, how fast that falls with the size and
    how fast it rises with ln width."""

    probability: np.ndarray
    by_size: np.ndarray
    by_log_width: np.ndarray

    @property
    def bits(self) -> np.ndarray:
        """(n,) float64."""
        return -np.log2(np.maximum(self.probability, _RARE))


def _residuals(outputs: np.ndarray, examples: Examples) -> _Residuals:
    ratio = examples.ratio.astype(np.float64)
    target = np.clip(
        np.nan_to_num(examples.target * ratio), -MAX_RESIDUAL, MAX_RESIDUAL
    )  # nothing is learned from infinities
    value = target - outputs[:, 0] * (ratio / 256)
    log_width = np.clip(examples.scale + outputs[:, 1] / 16, -5, 14)
    return _Residuals(value, np.abs(value), log_width, ratio / 256)


def _classes(outputs: np.ndarray, examples: Examples) -> np.ndarray:
    """(n,) int64 scale classes."""
    return scale_class_of(np.rint(examples.scale * 16).astype(np.int64) + outputs[:, 1].astype(np.int64))


def _mixture(size: np.ndarray, width: np.ndarray) -> _Mixture:
    """Of residuals of given sizes and widths, (n,) each."""
    probability, by_size, by_log_width = np.zeros((3, *size.shape))
    for share, wide in ((1 - _TAIL, width), (_TAIL, width * _WIDER)):
        u, v = (0.5 - size) / wide, (-0.5 - size) / wide
        above, below = (0.5 * (1 + np.tanh(0.5 * x)) for x in (u, v))
        du, dv = above * (1 - above), below * (1 - below)
        probability += share * (above - below)
        by_size += share * ((du - dv) / wide)
        by_log_width += share * (v * dv - u * du)
    return _Mixture(probability, by_size, by_log_width)
