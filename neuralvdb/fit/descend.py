"""Whole numbers of quanta that make a quadratic plus their own code length small: coordinate descent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.values.lattice.network_changes import QUANTA
from neuralvdb.values.lattice.tables import MOST

_SWEEPS, _CHOICES = 4, 3  # over all coordinates; of the class
_FIRST_CLASS = 12


@dataclass(frozen=True)
class Quadratic:
    """What a group of weights costs around steps of 0, in bits: slope (P,), curvature (P, P) by weights in units of
    their own (a bias in 16ths); low, high: (P,) by how much a weight may change; chance: bits that any change seems to
    save without doing so."""

    slope: np.ndarray
    curvature: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: float


def solve(
    shape: Quadratic, table: np.ndarray, quantum: int, start: np.ndarray, code: int | None = None
) -> tuple[float, np.ndarray, int]:
    """Bits, steps (P,) int64 and their class: of steps of QUANTA[quantum] from `start` (P,) on; table: of costs().

    code: the class, where it is given.
    """
    unit = QUANTA[quantum]
    low, high = (np.clip(np.trunc(limit / unit), -MOST, MOST).astype(np.int64) for limit in (shape.low, shape.high))
    begin = np.clip(start, low, high)
    curvature, slope = shape.curvature * (unit * unit), shape.slope * unit
    best = code if code is not None else _FIRST_CLASS
    for _ in range(_CHOICES if code is None else 1):
        used, price = best, table[best] + shape.chance
        price[MOST] -= shape.chance
        steps = _descend(slope + curvature @ begin, curvature, price, begin, low, high)
        best = int(table[:, steps + MOST].sum(1).argmin()) if code is None else code
        if best == used:
            break
    value = steps @ slope + 0.5 * steps @ curvature @ steps + table[best, steps + MOST].sum()
    return float(value + shape.chance * np.count_nonzero(steps)), steps, best


def _descend(
    slope: np.ndarray, curvature: np.ndarray, price: np.ndarray, begin: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Steps from `begin`, where the slope is that given, one coordinate after the other."""
    slope, steps, cost = slope.copy(), begin.tolist(), price.tolist()
    bends, lows, highs = np.diag(curvature).tolist(), low.tolist(), high.tolist()
    rise = 2 * (min(*cost[:MOST], *cost[MOST + 1 :]) - cost[MOST])  # twice what leaving 0 takes, at least
    for _ in range(_SWEEPS):
        moved = False
        for j, bend in enumerate(bends):
            at, fall = steps[j], float(slope[j])
            if bend <= 0 or (at == 0 and fall * fall <= bend * rise):
                continue
            k = round(min(max(at - fall / bend, -MOST), MOST))
            best, least = at, -1e-9
            for candidate in (0, k, k - 1 if k > 0 else k + 1):
                to = min(max(candidate, lows[j]), highs[j])
                by = to - at
                gain = fall * by + 0.5 * bend * by * by + cost[to + MOST] - cost[at + MOST]
                if gain < least:
                    best, least = to, gain
            if best != at:
                slope += curvature[j] * (best - at)
                steps[j], moved = best, True
        if not moved:
            break
    return np.array(steps, np.int64)
