"""A component of a grid as nested lattices of points, from voxels up to every 16th voxel.

Level k holds the voxels whose coordinates are multiples of 2**k, in bricks of 8x8x8 points (level 0: the
leaves). Letters in shapes: R rows, B bricks, n points. Values are integers in lattice units.

A level covers a box of bricks. Each cell of the box names a row: a brick that holds points to be coded, or
one that is constant (a tile or the background), rows shared by all cells of the same constant. Beyond the
box nothing is known and coordinates are clamped to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.volume.lookup import distinct

LEVELS = 5  # strides 1, 2, 4, 8, 16
OCTAVES = 4  # of both lattices: what points or cells 8, 4, 2 and 1 voxels apart need, each on top of those before
EDGE = 8
LIMIT = 1 << 27  # lattice values are clamped to plus or minus this


@dataclass
class Level:
    """One level. low: (3,) int64, first brick of the box; table: (X, Y, Z) int32, row of each cell; values: (R, 512)
    int32; active, coded: (R, 512) uint8, whether a point is active, and whether it is active in a leaf. Rows
    from `bricks` on hold nothing to be coded."""

    low: np.ndarray
    table: np.ndarray
    values: np.ndarray
    active: np.ndarray
    coded: np.ndarray
    bricks: int

    @property
    def cells(self) -> np.ndarray:
        """(B, 3) int64: the cell of each brick, relative to `low`."""
        flat = self.table.reshape(-1)
        place = np.nonzero(flat < self.bricks)[0]
        cells = np.empty((self.bricks, 3), np.int64)
        cells[flat[place]] = np.stack(np.unravel_index(place, self.table.shape), 1)
        return cells


def build(
    low: np.ndarray, table: np.ndarray, values: np.ndarray, active: np.ndarray, coded: np.ndarray, bricks: int
) -> list[Level]:
    """All levels over level 0 given as in Level; low and the box must be multiples of 16 bricks."""
    levels = [Level(low, table, values, active, coded, bricks)]
    while len(levels) < LEVELS:
        levels.append(_halved(levels[-1]))
    return levels


def _halved(fine: Level) -> Level:
    """The level of every second point along each axis."""
    shape = tuple(n // 2 for n in fine.table.shape)
    eight = fine.table.reshape(shape[0], 2, shape[1], 2, shape[2], 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
    even_coded = fine.coded.reshape(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2].any((1, 2, 3))
    needed = even_coded[eight].any(1)
    others, which = distinct(eight[~needed])
    table = np.empty(len(eight), np.int32)
    table[needed] = np.arange(needed.sum())
    table[~needed] = needed.sum() + which
    rows = np.concatenate([eight[needed], eight[~needed][others]])
    arrays = (_every_second(points, rows) for points in (fine.values, fine.active, fine.coded))
    return Level(fine.low // 2, table.reshape(shape), *arrays, int(needed.sum()))


def _every_second(points: np.ndarray, eight: np.ndarray) -> np.ndarray:
    """(R, 512): the even points of each group of eight bricks (R, 8) of `points` (rows, 512)."""
    half = points.reshape(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2]
    parts = half[eight].reshape(-1, 2, 2, 2, 4, 4, 4).transpose(0, 1, 4, 2, 5, 3, 6)
    return np.ascontiguousarray(parts).reshape(-1, EDGE**3)


def refine(coarse: Level, fine: Level) -> None:
    """Copies the points of `coarse` to the even points of `fine`."""
    cells = fine.cells
    parent = coarse.table[tuple((cells // 2).T)]
    octant = cells % 2 * 4
    inside = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    at = octant[:, None] + inside
    source = coarse.values[parent[:, None], at[..., 0] * 64 + at[..., 1] * 8 + at[..., 2]]
    target = inside * 2
    fine.values[np.arange(fine.bricks)[:, None], target[:, 0] * 64 + target[:, 1] * 8 + target[:, 2]] = source
