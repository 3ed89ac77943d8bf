"""A component of a grid as a tower of means: each floor halves the cells of the one below along an axis.

Floor 0 holds voxels; floor j + 1 cells twice as long as those of floor j along axis AXES[j % 3], so that the cells of
every third floor are cubes. A cell that covers coded voxels holds their mean; any other the mean of what it covers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuralvdb.values import _lattice
from neuralvdb.values.lattice.compand import compand_whole, expand_whole
from neuralvdb.values.lattice.domain import Lattice
from neuralvdb.values.lattice.levels import EDGE, LIMIT, Level
from neuralvdb.volume.lookup import distinct

FLOORS = 12  # above the voxels: four halvings of each axis
AXES = (2, 1, 0)
TOP = 2 * LIMIT  # decoded means are clamped to plus or minus this
SHARES = 32  # parts of a cell that a share is counted in


@dataclass
class Floor:
    """level: cells in bricks, `coded` where a cell covers coded voxels, with companded means; means: (R, 512) int32,
    the means themselves; counts: (R, 512) int32, coded voxels; pairs: (R, 2) int64, the rows of the floor below that
    each row joins, none on floor 0."""

    level: Level
    means: np.ndarray
    counts: np.ndarray
    pairs: np.ndarray

    @property
    def linear(self) -> Level:
        """The cells with the means themselves."""
        return replace(self.level, values=self.means)


def tower(base: Level, knee: int) -> list[Floor]:
    """All floors over level 0 as in lattice.levels, with values that are not companded; those of coded cells are 0."""
    means = np.where((base.coded == 0) & (base.active != 0), base.values, 0).astype(np.int32)
    level = replace(base, values=_companded(means, knee))
    floors = [Floor(level, means, base.coded.astype(np.int32), np.zeros((0, 2), np.int64))]
    while len(floors) <= FLOORS:
        floors.append(_merged(floors[-1], AXES[(len(floors) - 1) % 3], knee))
    return floors


def _companded(means: np.ndarray, knee: int) -> np.ndarray:
    return compand_whole(means, knee).astype(np.int32)


def true_means(floors: list[Floor], exact: np.ndarray) -> list[np.ndarray]:
    """Means (R, 512), floats as `exact` (R, 512) of floor 0 are, of the coded voxels of every cell of every floor."""
    sums = [np.where(floors[0].level.coded != 0, exact, exact.dtype.type(0))]
    for j, floor in enumerate(floors[1:]):
        even, odd = halves(sums[-1], floor.pairs, AXES[j % 3])
        sums.append(even + odd)
    for total, floor in zip(sums, floors, strict=True):
        total /= np.maximum(floor.counts, 1).astype(total.dtype)
    return sums


def _merged(fine: Floor, axis: int, knee: int) -> Floor:
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
    a, b = halves(fine.means.astype(np.int64), rows, axis)
    active = np.maximum(*halves(below.active, rows, axis))
    coded = (counts > 0).astype(np.uint8)
    means = np.where(coded != 0, 0, (a + b) >> 1).astype(np.int32)
    level = Level(
        below.low,
        np.ascontiguousarray(np.moveaxis(place.reshape(shape), 2, axis)),
        _companded(means, knee),
        np.where(coded != 0, 1, active).astype(np.uint8),
        coded,
        int(needed.sum()),
    )
    return Floor(level, means, counts.astype(np.int32), rows)


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


def split(
    coarse: Floor, fine: Floor, axis: int, difference: np.ndarray, lattice: Lattice, implementation: str = "native"
) -> None:
    """Means of the floor below from those of this one and the differences (R, 512) int32, first less second half.

    Differences are of companded means, but it is the mean itself that the halves have together.
    """
    bricks = coarse.level.bricks
    if implementation == "native":
        below, above = fine.level, (coarse.means[:bricks], coarse.level.values[:bricks])
        numbers = (axis, lattice.knee, lattice.positive, TOP)
        _lattice.split(
            coarse.pairs, fine.counts, below.coded, below.bricks, *above, difference, *numbers, fine.means, below.values
        )
        return
    first, second = (half[:bricks].astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    mean, middle = (array[:bricks].astype(np.int64) for array in (coarse.means, coarse.level.values))
    a, b = _halved(mean, middle, difference[:bricks].astype(np.int64), first, second, lattice)
    cells = np.stack([np.moveaxis(h.reshape(-1, EDGE, EDGE, EDGE), 1 + axis, 1) for h in (a, b)], 2)
    cells = np.moveaxis(cells.reshape(bricks, 2 * EDGE, EDGE, EDGE), 1, 1 + axis).clip(-TOP, TOP)
    for half, part in enumerate(np.split(cells, 2, axis=1 + axis)):
        rows = coarse.pairs[:bricks, half]
        real = rows < fine.level.bricks
        rows, found = rows[real], part[real].reshape(-1, EDGE**3).astype(np.int32)
        on = fine.level.coded[rows] != 0
        fine.means[rows] = np.where(on, found, fine.means[rows])
        fine.level.values[rows] = np.where(on, _companded(found, lattice.knee), fine.level.values[rows])


def _halved(
    mean: np.ndarray, middle: np.ndarray, gap: np.ndarray, first: np.ndarray, second: np.ndarray, lattice: Lattice
) -> tuple[np.ndarray, np.ndarray]:
    """Means of both halves; a half without coded voxels may get anything."""
    swapped = gap < 0
    most, least = np.where(swapped, second, first), np.where(swapped, first, second)
    large, small = _solved((most + least) * mean, middle, np.abs(gap), most, least, lattice)
    large, small = np.where(least == 0, mean, large), np.where(most == 0, mean, small)
    return np.where(swapped, small, large), np.where(swapped, large, small)


def _solved(
    total: np.ndarray, middle: np.ndarray, gap: np.ndarray, most: np.ndarray, least: np.ndarray, lattice: Lattice
) -> tuple[np.ndarray, np.ndarray]:
    """Means of the larger and of the smaller half, of `most` and `least` voxels, that have the sum `total`.

    The smaller one's companded mean is the largest integer with which the sum is not exceeded; what the sum then
    lacks goes to the larger one.
    """

    def halves_at(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(expand_whole(c, lattice.knee).clip(-TOP, TOP) for c in (small + gap, small))

    low, high = middle - gap - 1, middle + 1
    while (high - low > 1).any():
        at = (low + high) >> 1
        large, small = halves_at(at)
        fits = most * large + least * small <= total
        low, high = np.where(fits, at, low), np.where(fits, high, at)
    large, small = halves_at(low)
    large = large + (total - most * large - least * small) // np.maximum(most, 1)
    if lattice.positive:
        large = np.where(low < 0, total // np.maximum(most, 1), large)
    large = large.clip(-TOP, TOP)
    return large, (total - most * large) // np.maximum(least, 1)
