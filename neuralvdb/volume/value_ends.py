"""The smallest and the largest active value of leaves."""

from __future__ import annotations

from typing import Literal

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.volume import _leaves
from neuralvdb.volume.grid import unpack

Implementation = Literal["reference", "native"]


@dataclass(frozen=True)
class ValueEnds:
    """The smallest and the largest of `count` numbers, 0 and 0 where there is none."""

    low: float = 0.0
    high: float = 0.0
    count: int = 0


def ends_of(
    values: np.ndarray,
    masks: np.ndarray,
    outliers: float = 0.0,
    implementation: Implementation = "native",
    threads: int = 1,
) -> ValueEnds:
    """The ends of the finite active values among (N, 512, C), of all components together; masks: (N, 64) uint8.

    outliers: share of them, below a half, that may lie beyond on either side. A zero has no sign.
    """
    if implementation == "native":
        return ValueEnds(*_leaves.ends(values, masks, outliers, threads))
    active = values[unpack(masks)]
    finite = np.sort(active[np.isfinite(active)])
    skipped = int(outliers * len(finite))
    if not len(finite):
        return ValueEnds()
    return ValueEnds(float(finite[skipped]) + 0.0, float(finite[len(finite) - 1 - skipped]) + 0.0, len(finite))
