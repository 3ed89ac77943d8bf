"""Some points or cells of a level, by the brick each is in and its place there."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.constants import ROWS_AT_A_TIME
from neuralvdb.values.lattice.levels import pieces


@dataclass(frozen=True)
class Points:
    """n points or cells of a level. brick: (n,) int32, rows of the level; offset: (n,) int16, 0 to 511 in the brick."""

    brick: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.brick)

    def __getitem__(self, which: slice | np.ndarray) -> Points:
        return Points(self.brick[which], self.offset[which])

    @property
    def index(self) -> tuple[np.ndarray, np.ndarray]:
        """What picks them from an array (R, 512)."""
        return self.brick, self.offset


def nonzero_points(flags: np.ndarray) -> Points:
    """The points of flags (R, 512) that are not 0, in order."""
    return Points(*np.nonzero(flags))


def list_points(flags: np.ndarray, offsets: np.ndarray, implementation: str = "native") -> Points:
    """The points of flags (B, 512) uint8 that are not 0 and lie at `offsets` (512,) bool, in order."""
    numbers = np.nonzero(offsets)[0].astype(np.int16)
    if implementation == "native":
        count = _lattice.count(flags, numbers)
        points = Points(np.empty(count, np.int32), np.empty(count, np.int16))
        _lattice.points(flags, numbers, points.brick, points.offset)
        return points
    bricks, listed = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]
    for rows in pieces(len(flags), ROWS_AT_A_TIME):
        brick, number = np.nonzero(flags[rows][:, offsets])
        bricks.append((brick + rows.start).astype(np.int32))
        listed.append(numbers[number])
    return Points(np.concatenate(bricks), np.concatenate(listed))
