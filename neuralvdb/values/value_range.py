"""The range of a grid's active values, which no decoded value leaves."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lossless import by_component
from neuralvdb.volume.grid import Tree
from neuralvdb.volume.value_ends import ends_of

_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class ValueRange:
    """The smallest and the largest finite active value of a component; 0 and 0 where there is none."""

    low: float = 0.0
    high: float = 0.0

    def valid(self) -> bool:
        """Whether it makes sense, as that of a damaged archive may not."""
        return bool(np.isfinite([self.low, self.high]).all() and self.low <= self.high)

    def fits(self, dtype: np.dtype) -> bool:
        """Whether values of a type can have its ends."""
        ends = np.array([self.low, self.high])
        with np.errstate(over="ignore"):
            return bool((ends.astype(dtype) == ends).all())

    def clamp(self, values: np.ndarray) -> np.ndarray:
        """Values within the range. A zero keeps its sign: np.clip() chooses one as the machine likes."""
        low, high = values.dtype.type(self.low), values.dtype.type(self.high)
        return np.where(values < low, low, np.where(values > high, high, values))


def ranges_of(tree: Tree, *, half: bool, threads: int = 1) -> tuple[ValueRange, ...]:
    """The range of each component of the active values of leaves; half: of those values as halves."""
    values, half_of = by_component(tree.leaf), _half if half else float
    ranges = [ends_of(values[..., i : i + 1], tree.leaf.active, threads=threads) for i in range(values.shape[2])]
    return tuple(ValueRange(half_of(ends.low), half_of(ends.high)) for ends in ranges)


def _half(value: float) -> float:
    """The finite half next to a value, rounded as values are that are saved as half."""
    return float(np.float16(np.float32(np.clip(value, -_LARGEST_HALF, _LARGEST_HALF))))
