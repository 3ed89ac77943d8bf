"""Measures of error between an original and what became of it."""

from __future__ import annotations

import math

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.volume.grid import Tree, unpack


def decibels(peak: float, mean_square: float) -> float:
    """PSNR in dB of an error whose squares have this mean."""
    return float(20 * np.log10(peak) - 10 * np.log10(mean_square))


def median(values: np.ndarray) -> float:
    """np.median() of numbers (n > 0), for which NumPy loads its masked arrays."""
    middle = len(values) // 2
    low, high = np.partition(values, (max(middle - 1, 0), middle))[[max(middle - 1, 0), middle]]
    return float(high if len(values) % 2 else (low + high) / 2)


def quantile(values: np.ndarray, share: float) -> float:
    """np.quantile() of floats (n > 0), in their type, for which NumPy loads its masked arrays; NaN where one is."""
    at = (len(values) - 1) * share
    low = int(at)
    in_order = np.partition(values, sorted({low, min(low + 1, len(values) - 1), len(values) - 1}))
    a, b, weight = in_order[low], in_order[min(low + 1, len(values) - 1)], at - low
    between = b - (b - a) * (1 - weight) if weight >= 0.5 else a + (b - a) * weight
    return float(in_order[-1] if np.isnan(in_order[-1]) else between)


def psnr(original: Tree, decoded: Tree) -> float:
    """PSNR in dB over finite active leaf values, peak = their range; infinite where nothing differs."""
    on = unpack(original.leaf.active)
    x, y = (tree.leaf.values[on].astype(np.float64) for tree in (original, decoded))
    finite = np.isfinite(x)
    x, y = x[finite], y[finite]
    error = float(((x - y) ** 2).mean()) if len(x) else 0.0
    return decibels(np.ptp(x), error) if error else math.inf


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What differs over voxels.

    maximum: largest absolute error, in the grid's values.
    rmse: root of the mean square error, in the grid's values.
    psnr: in dB, its peak the active range of the original; None where nothing differs or there is no range.
    """

    maximum: float
    rmse: float
    psnr: float | None


class ErrorSums:
    """Sums over voxels active in either of two grids. Equal bits are no error, so NaN against the same NaN is none."""

    def __init__(self) -> None:
        self.active = [0, 0]  # voxels of each grid
        self._count = 0
        self._squares = 0.0
        self._maximum = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, x: np.ndarray, y: np.ndarray, x_on: np.ndarray, y_on: np.ndarray, voxels: int) -> None:
        """Adds slots: values (nodes, S[, C]) of both grids, and (nodes, S) bool where they are active.

        voxels: how many voxels a slot stands for.
        """
        self.active[0] += int(x_on.sum()) * voxels
        self.active[1] += int(y_on.sum()) * voxels
        either = x_on | y_on
        with np.errstate(invalid="ignore"):  # a signalling NaN
            peaks = x[x_on].astype(np.float64)
            x, y = x[either].astype(np.float64), y[either].astype(np.float64)
        peaks = peaks[np.isfinite(peaks)]
        if peaks.size:
            self._low, self._high = min(self._low, float(peaks.min())), max(self._high, float(peaks.max()))
        if not x.size:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.where(x.view(np.uint64) == y.view(np.uint64), 0.0, np.abs(x - y))
            error[np.isnan(error)] = math.inf
            self._squares += float((error**2).sum()) * voxels
        self._count += error.size * voxels
        self._maximum = max(self._maximum, float(error.max()))

    def summary(self) -> Errors:
        """The errors over all that was added."""
        mean_square = self._squares / self._count if self._count else 0.0
        peak = self._high - self._low
        ratio = None if mean_square == 0 or not peak > 0 else decibels(peak, mean_square)
        return Errors(maximum=self._maximum, rmse=math.sqrt(mean_square), psnr=ratio)
