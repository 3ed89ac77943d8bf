"""Inputs of predictors: which points they see, as data, and the block floating point that makes one network serve
every scale. SampleView and MeanView say what the points hold; together with this they are the definition.

Inputs come in this order: values of all groups' points, their active flags, then the scales: log2 of the scale over
the step, half of log2 of the centre over the step, the centre over the scale, and what else a lattice adds.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import EDGE, LOG_BITS, MAX_INPUT, ONE
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.points import Points


@dataclass(frozen=True, kw_only=True)
class InputGroup:
    """Points that predictors see.

    offsets: (n, 3) int64, from the point to be coded, in points of its level
    source: which arrays of a view hold them
    centred: whether what is seen is the distance from the centre, else the value itself
    scaling: whether their mean distance is the scale of all inputs
    """

    offsets: np.ndarray
    source: int = 0
    centred: bool = True
    scaling: bool = False


@dataclass(frozen=True, kw_only=True)
class InputLayout:
    """All inputs of a predictor.

    groups: in order
    line: numbers of the points that the base is made from, along the axis of the pass
    scales: how many inputs are no points
    """

    groups: tuple[InputGroup, ...]
    line: tuple[int, ...]
    scales: int

    @property
    def points(self) -> int:
        """How many points are seen."""
        return sum(len(group.offsets) for group in self.groups)

    @property
    def count(self) -> int:
        """How many inputs there are."""
        return 2 * self.points + self.scales


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """n points with the m points that each sees, groups one after the other.

    distances: (n, m) int64, values of points, from the centre where their group is centred
    active: (n, m) int64, 0 or 1
    centre: (n,) int64, the value around which the points lie
    base: (n,) int64, what to expect without a network
    """

    distances: np.ndarray
    active: np.ndarray
    centre: np.ndarray
    base: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PredictorInputs:
    """n points of a pass.

    inputs: (n, inputs) int16
    base: (n,) int64, what to expect without a network
    exponent: (n,) int64, 2**exponent is the scale of what is around
    scale: (n,) int64, log2 of that over the step in 1/16
    """

    inputs: np.ndarray
    base: np.ndarray
    exponent: np.ndarray
    scale: np.ndarray


def normalise(gathered: Gathered, layout: InputLayout, quant_step: int, *extra: np.ndarray) -> PredictorInputs:
    """Inputs of points, divided by their scale; extra: (n,) int64, further inputs that are no points."""
    scaling = np.concatenate([np.full(len(group.offsets), group.scaling) for group in layout.groups])
    active = gathered.active[:, scaling]
    spread = (np.abs(gathered.distances[:, scaling]) * active).sum(1)
    sigma = np.maximum(spread // (active.sum(1) + 1) + (quant_step >> 2), 1)
    exponent = bit_length(sigma) - 1
    log_step = log2(np.array([quant_step]))[0]
    scale = log2(sigma) - log_step
    size = log2(np.abs(gathered.centre) + quant_step) - log_step
    scales = [
        np.clip(scale, -MAX_INPUT, MAX_INPUT),
        np.clip(size >> 1, 0, MAX_INPUT),
        np.clip((gathered.centre * ONE) >> exponent, -4 * ONE, 4 * ONE),
        *extra,
    ]
    values = np.clip((gathered.distances * ONE) >> exponent[:, None], -MAX_INPUT, MAX_INPUT)
    inputs = np.concatenate([values, gathered.active * ONE, np.stack(scales, 1)], 1).astype(np.int16)
    return PredictorInputs(inputs=inputs, base=gathered.base, exponent=exponent, scale=scale)


def gather(
    level: LatticeLevel, points: Points, offsets: np.ndarray, axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, m) int64 and active flags (n, m) int64 of the points at `offsets` (m, 3) from points.

    Coordinates beyond the box are clamped to it. Those of points of a pass along `axis` are mirrored first, so that
    they are never points yet to be coded: above the box at its last point, along later axes at the last even one;
    below it at 0, but not along the axis itself.
    """
    in_brick = np.stack(np.unravel_index(points.offset, (EDGE,) * 3), 1)
    point = (level.cells[points.brick] * EDGE + in_brick)[:, None] + offsets
    last = np.array(level.table.shape) * EDGE - 1
    if axis is not None:
        point = np.where(point > last, 2 * (last - (np.arange(3) > axis)) - point, point)
        point = np.where((point < 0) & (np.arange(3) != axis), -point, point)
    point = np.clip(point, 0, last)
    rows = level.table[tuple(np.moveaxis(point // EDGE, 2, 0))]
    x, y, z = np.moveaxis(point % EDGE, 2, 0)
    offset = x * EDGE**2 + y * EDGE + z
    return level.values[rows, offset].astype(np.int64), level.active[rows, offset].astype(np.int64)


def bit_length(x: np.ndarray) -> np.ndarray:
    """(n,) int64: bits of positive integers below 2**53."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def log2(x: np.ndarray) -> np.ndarray:
    """(n,) int64: log2 of positive integers in 1/16, linear between powers of two."""
    exponent = bit_length(x) - 1
    return (exponent << LOG_BITS) + (((x << LOG_BITS) >> exponent) - (1 << LOG_BITS))
