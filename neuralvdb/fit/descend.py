"""Integer deltas that minimise a quadratic plus their own code length: coordinate descent."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.quadratic import Quadratic
from neuralvdb.values.lattice.network_changes import QUANTA
from neuralvdb.values.lattice.tables import MOST

_SWEEPS = 4  # over all coordinates
_DESCENTS = 3  # each but the first with the scale class that suits the deltas of the one before
_FIRST_CLASS = 12


@dataclass(frozen=True)
class Solution:
    """What a descent has found.

    bits: cost of the quadratic and of the deltas, with the penalty of each.
    deltas: (P,) int64, in units of QUANTA[quantum].
    scale_class: with which the deltas are coded.
    """

    bits: float
    deltas: np.ndarray
    scale_class: int
    quantum: int


def solve(
    quadratic: Quadratic, prices: np.ndarray, quantum: int, start: np.ndarray, scale_class: int | None = None
) -> Solution:
    """The deltas that descent from `start` (P,) leads to.

    prices: (64, 2 MOST + 1) bits of deltas by scale class, as tables.costs() gives them.
    scale_class: of the deltas; None: the one that takes the fewest bits.
    """
    unit = QUANTA[quantum]
    low, high = _bounds(quadratic.low, unit), _bounds(quadratic.high, unit)
    start = np.clip(start, low, high)
    curvature, slope = quadratic.curvature * (unit * unit), quadratic.slope * unit
    best = _FIRST_CLASS if scale_class is None else scale_class
    for _ in range(_DESCENTS if scale_class is None else 1):
        used, price = best, prices[best] + quadratic.selection_penalty
        price[MOST] -= quadratic.selection_penalty
        deltas = _Descent(curvature, price, low, high).run(slope + curvature @ start, start)
        best = int(prices[:, deltas + MOST].sum(1).argmin()) if scale_class is None else scale_class
        if best == used:
            break
    bits = deltas @ slope + 0.5 * deltas @ curvature @ deltas + prices[best, deltas + MOST].sum()
    bits += quadratic.selection_penalty * np.count_nonzero(deltas)
    return Solution(float(bits), deltas, best, quantum)


def _bounds(limit: np.ndarray, unit: int) -> np.ndarray:
    return np.clip(np.trunc(limit / unit), -MOST, MOST).astype(np.int64)


class _Descent:
    """Coordinate descent. curvature: (P, P); price: (2 MOST + 1,) bits of a delta; low, high: (P,) of the deltas."""

    def __init__(self, curvature: np.ndarray, price: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        self._curvature, self._price = curvature, price.tolist()
        self._diagonal = np.diag(curvature).tolist()
        self._low, self._high = low.tolist(), high.tolist()
        nonzero = min(*self._price[:MOST], *self._price[MOST + 1 :])
        self._rise = 2 * (nonzero - self._price[MOST])  # twice what leaving 0 takes, at least

    def run(self, slope: np.ndarray, start: np.ndarray) -> np.ndarray:
        """(P,) int64 deltas from `start` (P,), where the slope is `slope` (P,), one coordinate after the other."""
        slope, deltas = slope.copy(), start.tolist()
        for _ in range(_SWEEPS):
            moved = False
            for j, bend in enumerate(self._diagonal):
                now, fall = deltas[j], float(slope[j])
                if bend <= 0 or (now == 0 and fall * fall <= bend * self._rise):
                    continue
                best = self._best(j, now, fall)
                if best != now:
                    slope += self._curvature[j] * (best - now)
                    deltas[j], moved = best, True
            if not moved:
                break
        return np.array(deltas, np.int64)

    def _best(self, j: int, now: int, fall: float) -> int:
        """The best of the deltas worth a look of coordinate j, where the slope by it is `fall`."""
        bend, price = self._diagonal[j], self._price
        k = round(min(max(now - fall / bend, -MOST), MOST))
        best, least = now, -1e-9
        for candidate in (0, k, k - 1 if k > 0 else k + 1):
            delta = min(max(candidate, self._low[j]), self._high[j])
            by = delta - now
            gain = fall * by + 0.5 * bend * by * by + price[delta + MOST] - price[now + MOST]
            if gain < least:
                best, least = delta, gain
        return best
