"""What predictions and a reference missed nearby, of points that are decoded. This is the definition.

Sums over blocks of 2x2x2 points of a level, as far as it is decoded, and of the level above it. Letters in shapes: B
bricks, n points.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import EDGE
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.points import Points

BLOCKS = 64  # of 2x2x2 points in a brick
_BLOCK_EDGE = 2
COUNT, ERRORS, INNOVATIONS, APART, SIGNED = range(5)  # what is summed
_SUMS = 5


@dataclass(frozen=True)
class BlockSums:
    """Sums over decoded points of n blocks, (n, 5) int64: how many; sizes of errors, of innovations, of errors less
    innovations; and errors less innovations themselves. step: of the level, in lattice units."""

    sums: np.ndarray
    step: int


class Nearby:
    """Remembers a component from the coarsest level on."""

    def __init__(self) -> None:
        self._level: _Level | None = None
        self._above: _Level | None = None

    def enter(self, level: LatticeLevel, number: int, step: int) -> None:
        """Goes to a level, if that is not where it is; number: of the level."""
        if self._level is None or self._level.number != number:
            self._above, self._level = self._level, _Level(level, number, step)

    def add(self, points: Points, errors: np.ndarray, innovations: np.ndarray) -> None:
        """Points of the level that are decoded; errors, innovations: (n,) int64, in lattice units."""
        assert self._level is not None
        apart = errors - innovations
        columns = [np.ones_like(errors), np.abs(errors), np.abs(innovations), np.abs(apart), apart]
        np.add.at(self._level.sums, (points.brick, _block_of(points)), np.stack(columns, 1))

    def blocks(self, points: Points) -> tuple[BlockSums, BlockSums, BlockSums]:
        """The block of 4x4x4 and that of 2x2x2 points that each point lies in, and that of 2x2x2 of the level above."""
        assert self._level is not None
        level, block = self._level, _block_of(points)
        small = level.sums[points.brick, block]
        large = level.eights[points.brick, _eight_of(block)]
        above = np.zeros_like(small) if self._above is None else self._above.over(level, points)
        step = level.step if self._above is None else self._above.step
        return BlockSums(large, level.step), BlockSums(small, level.step), BlockSums(above, step)


class _Level:
    """Sums of a level, (B, 64, 5) int64."""

    def __init__(self, level: LatticeLevel, number: int, step: int) -> None:
        self.number, self.step = number, step
        self._table, self._cells = level.table, level.cells
        self.sums = np.zeros((level.bricks, BLOCKS, _SUMS), np.int64)

    @property
    def eights(self) -> np.ndarray:
        """(B, 8, 5): of blocks of 4x4x4 points."""
        return self.sums.reshape(-1, 2, 2, 2, 2, 2, 2, _SUMS).sum((2, 4, 6)).reshape(-1, 8, _SUMS)

    def over(self, fine: _Level, points: Points) -> np.ndarray:
        """(n, 5): of the blocks that points of the level below lie in."""
        apart = np.array(fine._table.shape) // np.array(self._table.shape)  # 2 along axes on which levels differ
        in_brick = np.stack(np.unravel_index(points.offset, (EDGE,) * 3), 1)
        point = (fine._cells[points.brick] * EDGE + in_brick) // apart
        brick = self._table[tuple((point // EDGE).T)]
        offset = np.ravel_multi_index(tuple((point % EDGE).T), (EDGE,) * 3)
        coded = brick < len(self.sums)
        sums = np.zeros((len(points), _SUMS), np.int64)
        sums[coded] = self.sums[brick[coded], _block_of(Points(brick[coded], offset[coded]))]
        return sums


def _block_of(points: Points) -> np.ndarray:
    """(n,) 0 to 63: the block of 2x2x2 points."""
    x, y, z = np.unravel_index(points.offset, (EDGE,) * 3)
    return (x // _BLOCK_EDGE * 4 + y // _BLOCK_EDGE) * 4 + z // _BLOCK_EDGE


def _eight_of(block: np.ndarray) -> np.ndarray:
    """(n,) 0 to 7: the block of 4x4x4 points that one of 2x2x2 lies in."""
    x, y, z = np.unravel_index(block, (4, 4, 4))
    return (x // 2 * 2 + y // 2) * 2 + z // 2
