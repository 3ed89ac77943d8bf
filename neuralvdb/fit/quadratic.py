"""What changing weights costs, as a quadratic: built from the derivatives of a cost by what the weights make.

Sums over examples are of integers below 2**53, so that they are exact in whatever order a library adds them, up to
65536 of them. Letters in shapes: n examples, P weights.
"""

from __future__ import annotations

import math

import numpy as np

from neuralvdb.dataclass import dataclass

_DAMPING = 1.01
_OUTLIER = 256  # times the mean
_SLOPE_BITS, _ROOT_BITS = 20, 10  # of the whole numbers that slopes, and roots of curvatures, become


@dataclass(frozen=True)
class Expansion:
    """Derivatives of the bits of residuals by a value of each example: slope and curvature, float64 of one shape."""

    slope: np.ndarray
    curvature: np.ndarray


@dataclass(frozen=True)
class Features:
    """What a sum of products takes its weights times.

    values: (n, P) float64, whole numbers.
    scale: (P,) float64, what each product is worth in the value that a cost was expanded by.
    """

    values: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class WeightRange:
    """Where weights may go, (P,) float64 each: how far each is from where it began, and may be at least and at most."""

    change: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """What changes of a group of weights cost, in bits, around no change; weights in units of their own.

    slope: (P,) and curvature: (P, P).
    low, high: (P,), by how much a weight may change.
    selection_penalty: expected optimism of choosing one weight on a sample, in bits (compare Akaike).
    """

    slope: np.ndarray
    curvature: np.ndarray
    low: np.ndarray
    high: np.ndarray
    selection_penalty: float


def quadratic_of(
    features: Features, expansion: Expansion, weights: WeightRange, *, weight: float, selection_penalty: float
) -> Quadratic:
    """The cost of weights around where they began, from its expansion (n,) around where they are.

    weight: residuals that an example stands for.
    """
    slopes, unit = _whole(expansion.slope, _SLOPE_BITS)
    first = (slopes @ features.values) * (unit * weight) * features.scale
    roots, unit = _whole(np.sqrt(expansion.curvature), _ROOT_BITS)
    rows = features.values * roots[:, None]
    scale = np.outer(features.scale, features.scale)
    second = (rows.T @ rows) * (unit * unit * weight) * scale  # a product with itself: half the work
    second[np.diag_indices(len(second))] *= _DAMPING
    return Quadratic(
        slope=first - second @ weights.change,
        curvature=second,
        low=weights.low,
        high=weights.high,
        selection_penalty=selection_penalty,
    )


def _whole(values: np.ndarray, bits: int) -> tuple[np.ndarray, float]:
    """Whole numbers of at most 2**bits in size, and the unit in which they are `values` (n,); outliers are cut."""
    size = np.abs(values)
    top = min(float(size.max()), _OUTLIER * float(size.mean()))
    if not top:
        return values, 1.0
    unit = 2.0 ** (math.ceil(math.log2(top)) - bits)
    return np.rint(np.clip(values, -top, top) / unit), unit
