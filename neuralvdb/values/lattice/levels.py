"""A component of a chunk as a pyramid of points, from voxels up to every 16th voxel.

Level k of the sample lattice holds the voxels whose coordinates are multiples of 2**k, in bricks of 8x8x8 points (level
0: the leaves). Letters in shapes: R rows, B bricks, n points. Values are integers in lattice units.

A level covers a box of bricks. Each cell of the box names a row: a brick that holds points to be coded, or one that is
constant (a tile or the background), rows shared by all cells of the same constant. Beyond the box nothing is known and
coordinates are brought back into it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import EDGE, SAMPLE_LEVELS, SLOTS
from neuralvdb.volume.lookup import distinct


@dataclass
class LatticeLevel:
    """One level of either lattice.

    low: (3,) int64, first brick of the box
    table: (X, Y, Z) int32, row of each brick of the box
    values: (R, 512) int32
    active: (R, 512) uint8, whether a point is active
    coded: (B, 512), not 0 where a point is active in a leaf; rows from `bricks` B on hold no such points
    """

    low: np.ndarray
    table: np.ndarray
    values: np.ndarray
    active: np.ndarray
    coded: np.ndarray

    @property
    def bricks(self) -> int:
        """B."""
        return len(self.coded)

    @property
    def cells(self) -> np.ndarray:
        """(B, 3) int64: the cell of each brick, relative to `low`."""
        flat = self.table.reshape(-1)
        where = np.nonzero(flat < self.bricks)[0]
        cells = np.empty((self.bricks, 3), np.int64)
        cells[flat[where]] = np.stack(np.unravel_index(where, self.table.shape), 1)
        return cells


def pieces(count: int, most: int) -> Iterator[slice]:
    """`count` things in slices of at most so many."""
    return (slice(start, min(start + most, count)) for start in range(0, count, most))


def sample_pyramid(base: LatticeLevel) -> list[LatticeLevel]:
    """All levels over level 0, whose low and box must be multiples of 16 bricks."""
    pyramid = [base]
    while len(pyramid) < SAMPLE_LEVELS:
        pyramid.append(_downsampled(pyramid[-1]))
    return pyramid


def _downsampled(fine: LatticeLevel) -> LatticeLevel:
    """The level of every second point along each axis."""
    shape = tuple(n // 2 for n in fine.table.shape)
    eight = fine.table.reshape(shape[0], 2, shape[1], 2, shape[2], 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
    even_coded = np.zeros(len(fine.values), bool)
    even_coded[: fine.bricks] = fine.coded.reshape(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2].any((1, 2, 3))
    needed = even_coded[eight].any(1)
    first, which = distinct(eight[~needed])
    table = np.empty(len(eight), np.int32)
    table[needed] = np.arange(needed.sum())
    table[~needed] = needed.sum() + which
    rows = np.concatenate([eight[needed], eight[~needed][first]])
    values, active = (_every_second(points, rows) for points in (fine.values, fine.active))
    coded = _every_second(fine.coded, rows[: needed.sum()])
    return LatticeLevel(fine.low // 2, table.reshape(shape), values, active, coded)


def _every_second(points: np.ndarray, eight: np.ndarray) -> np.ndarray:
    """(R, 512): the even points of each group of eight bricks (R, 8) of `points` (rows, 512), 0 beyond the rows."""
    even = points.reshape(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2]
    joined = np.zeros((len(eight), 2, 4, 2, 4, 2, 4), points.dtype)
    for i, octant in enumerate(np.ndindex(2, 2, 2)):
        within = eight[:, i] < len(even)
        joined[within, octant[0], :, octant[1], :, octant[2]] = even[eight[within, i]]
    return joined.reshape(-1, SLOTS)


def upsample_into(coarse: LatticeLevel, fine: LatticeLevel) -> None:
    """Copies the points of `coarse` to the even points of `fine`."""
    cells = fine.cells
    parent = coarse.table[tuple((cells // 2).T)]
    octants = coarse.values.reshape(-1, 2, 4, 2, 4, 2, 4)
    even = fine.values.reshape(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2]
    for x, y, z in np.ndindex(2, 2, 2):
        rows = np.nonzero((cells % 2 == (x, y, z)).all(1))[0]
        even[rows] = octants[parent[rows], x, :, y, :, z]
