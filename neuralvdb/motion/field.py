"""Leaves of a tree in integers."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.motion.types import Leaves
from neuralvdb.volume.grid import LEAF_SLOTS
from neuralvdb.volume.lookup import find


@dataclass(frozen=True)
class Field:
    """Leaves at origins (M, 3) int32 with values (M, 512, C) int32; everywhere else is the background, (C,) int32."""

    origins: np.ndarray
    values: np.ndarray
    background: np.ndarray

    @property
    def components(self) -> int:
        """Of a value."""
        return len(self.background)

    @classmethod
    def of(cls, leaves: Leaves, scale: float, limit: int) -> Field:
        """Leaves, their values times `scale` rounded to the nearest (ties to even), within +-limit; NaN is 0."""

        def integers(values: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore"):
                numbers = np.clip(np.rint(values.astype(np.float64) * scale), -limit, limit)
            return np.where(np.isnan(numbers), 0, numbers).astype(np.int32)

        background = integers(np.atleast_1d(leaves.background))
        values = integers(leaves.values).reshape(len(leaves.origins), LEAF_SLOTS, len(background))
        return cls(leaves.origins, values, background)

    def read(self, voxels: np.ndarray) -> np.ndarray:
        """Values (n, C) int64 of voxels (n, 3) int64."""
        bricks = voxels & ~7
        fits = ((bricks >= -1 << 31) & (bricks < 1 << 31)).all(axis=1)
        leaf = np.full(len(voxels), -1)
        leaf[fits] = find(self.origins, bricks[fits].astype(np.int32))
        slot = (voxels & 7) @ (64, 8, 1)
        values = np.repeat(self.background[None].astype(np.int64), len(voxels), axis=0)
        values[leaf >= 0] = self.values[leaf[leaf >= 0], slot[leaf >= 0]]
        return values
