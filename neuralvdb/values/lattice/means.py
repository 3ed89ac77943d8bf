"""A component of a grid as a tower of means: each floor halves the cells of the one below along an axis.

Floor 0 holds voxels; floor j + 1 cells twice as long as those of floor j along axis AXES[j % 3], so that the cells of
every third floor are cubes. A cell that covers coded voxels holds their mean; any other the mean of what it covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.values import _lattice
from neuralvdb.values.lattice.levels import EDGE, LIMIT, Level
from neuralvdb.volume.lookup import distinct

FLOORS = 12  # above the voxels: four halvings of each axis
AXES = (2, 1, 0)
TOP = 2 * LIMIT  # decoded means are clamped to plus or minus this
SHARES = 32  # parts of a cell that a share is counted in


@dataclass
class Floor:
    """level: cells in bricks, `coded` where a cell covers coded voxels; counts: (R, 512) int32, how many; pairs: (R, 2)
    int64, the rows of the floor below that each row joins, none on floor 0."""

    level: Level
    counts: np.ndarray
    pairs: np.ndarray


def tower(base: Level) -> list[Floor]:
    """All floors over level 0 as in lattice.levels; values of coded cells are 0."""
    values = np.where(base.coded != 0, 0, base.values)
    level = Level(base.low, base.table, values, base.active, base.coded, base.bricks)
    floors = [Floor(level, base.coded.astype(np.int32), np.zeros((0, 2), np.int64))]
    while len(floors) <= FLOORS:
        floors.append(_merged(floors[-1], AXES[(len(floors) - 1) % 3]))
    return floors


def exact_means(floors: list[Floor], exact: np.ndarray) -> list[np.ndarray]:
    """Means (R, 512) float64 of the coded voxels of every cell of every floor; exact: (R, 512) of floor 0."""
    sums = [np.where(floors[0].level.coded != 0, exact, 0.0)]
    for j, floor in enumerate(floors[1:]):
        even, odd = halves(sums[-1], floor.pairs, AXES[j % 3])
        sums.append(even + odd)
    return [total / np.maximum(floor.counts, 1) for total, floor in zip(sums, floors, strict=True)]


def _merged(fine: Floor, axis: int) -> Floor:
    below = fine.level
    table = np.moveaxis(below.table, axis, 2)
    shape = (*table.shape[:2], table.shape[2] // 2)
    pairs = table.reshape(-1, 2)
    needed = (below.coded.any(1))[pairs].any(1)
    others, which = distinct(pairs[~needed])
    place = np.empty(len(pairs), np.int32)
    place[needed] = np.arange(needed.sum())
    place[~needed] = needed.sum() + which
    rows = np.concatenate([pairs[needed], pairs[~needed][others]]).astype(np.int64)
    counts = sum(halves(fine.counts, rows, axis))
    a, b = halves(below.values.astype(np.int64), rows, axis)
    active = np.maximum(*halves(below.active, rows, axis))
    coded = (counts > 0).astype(np.uint8)
    level = Level(
        below.low,
        np.ascontiguousarray(np.moveaxis(place.reshape(shape), 2, axis)),
        np.where(coded != 0, 0, (a + b) >> 1).astype(np.int32),
        np.where(coded != 0, 1, active).astype(np.uint8),
        coded,
        int(needed.sum()),
    )
    return Floor(level, counts.astype(np.int32), rows)


def halves(fine: np.ndarray, pairs: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second halves (R, 512) of the cells of each row of pairs (R, 2) of rows of `fine`."""
    bricks = fine.reshape(-1, EDGE, EDGE, EDGE)
    both = np.concatenate([bricks[pairs[:, 0]], bricks[pairs[:, 1]]], axis=1 + axis)
    return tuple(_every_second(both, axis, first).reshape(-1, EDGE**3) for first in (0, 1))


def _every_second(bricks: np.ndarray, axis: int, first: int) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(bricks, 1 + axis, 1)[:, first::2], 1, 1 + axis))


def shares(coarse: Floor, fine: Floor, axis: int, implementation: str = "native") -> tuple[np.ndarray, np.ndarray]:
    """The first half's part of every cell's coded voxels, (R, 512) uint8 in 1/SHARES, and whether both have some."""
    if implementation == "native":
        share, both = np.empty((2, *coarse.counts.shape), np.uint8)
        _lattice.shares(coarse.pairs, fine.counts, axis, share, both)
        return share, both.view(bool)
    first, second = halves(fine.counts, coarse.pairs, axis)
    return (SHARES * first // np.maximum(first + second, 1)).astype(np.uint8), (first > 0) & (second > 0)


def split(coarse: Floor, fine: Floor, axis: int, difference: np.ndarray, implementation: str = "native") -> None:
    """Means of the floor below from those of this one and the differences (R, 512) int32, first less second half."""
    bricks = coarse.level.bricks
    if implementation == "native":
        below, means = fine.level, coarse.level.values[:bricks]
        _lattice.split(coarse.pairs, fine.counts, below.coded, below.bricks, means, difference, axis, TOP, below.values)
        return
    first, second = (half[:bricks].astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    mean, gap, total = coarse.level.values[:bricks].astype(np.int64), difference[:bricks], np.maximum(first + second, 1)
    a = mean + (2 * second * gap + total - (mean & 1)) // (2 * total)  # halves are rounded up and down by turns
    b = a - gap
    a, b = np.where(second == 0, mean, a), np.where(first == 0, mean, b)
    cells = np.stack([np.moveaxis(h.reshape(-1, EDGE, EDGE, EDGE), 1 + axis, 1) for h in (a, b)], 2)
    cells = np.moveaxis(cells.reshape(bricks, 2 * EDGE, EDGE, EDGE), 1, 1 + axis).clip(-TOP, TOP)
    for half, part in enumerate(np.split(cells, 2, axis=1 + axis)):
        rows = coarse.pairs[:bricks, half]
        real = rows < fine.level.bricks
        rows, found = rows[real], part[real].reshape(-1, EDGE**3)
        fine.level.values[rows] = np.where(fine.level.coded[rows] != 0, found, fine.level.values[rows]).astype(np.int32)
