"""A component of a grid as a tower of means: each floor halves the cells of the one below along an axis.

Level 0 holds voxels; floor j + 1 cells twice as long as those of floor j along axis AXES[j % 3], so that the cells of
every third floor are cubes. A cell that covers coded voxels holds their mean; any other the mean of what it covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import Chunk, Leaves, Quantiser
from neuralvdb.values.lattice.compand import compand, compand_whole, expand_whole
from neuralvdb.values.lattice.levels import EDGE, LIMIT, ROWS, LatticeLevel, pieces
from neuralvdb.volume.lookup import distinct

FLOORS = 12  # above the voxels: four halvings of each axis
AXES = (2, 1, 0)
TOP = 2 * LIMIT  # decoded means are clamped to plus or minus this
SHARES = 32  # parts of a cell that a share is counted in


@dataclass
class MeanLevel:
    """What is known of a floor before any mean of coded cells is.

    low: (3,) int64 and table: (X, Y, Z) int32 as in LatticeLevel;
    bricks: rows that hold coded cells; counts: (R, 512) uint8
    or uint16, coded voxels; pairs: (R, 2) int32, the rows of the floor below that each row joins, none on floor 0.
    others: (M,) int64, rows some of whose cells are not coded but active or other than 0, means: (M, 512) int32 and
    active: (M, 512) uint8 of their cells that are not coded.
    """

    low: np.ndarray
    table: np.ndarray
    bricks: int
    counts: np.ndarray
    pairs: np.ndarray
    others: np.ndarray
    means: np.ndarray
    active: np.ndarray


@dataclass
class Cells:
    """A floor with its means (R, 512) int32."""

    floor: MeanLevel
    means: np.ndarray

    @property
    def coded(self) -> np.ndarray:
        """(B, 512): not 0 where coded."""
        return self.floor.counts[: self.floor.bricks]

    def level(self, knee: int, implementation: str = "native") -> LatticeLevel:
        """The cells with companded means."""
        active = (self.floor.counts > 0).view(np.uint8)
        active[self.floor.others] |= self.floor.active
        values = _companded(self.means, knee, implementation)
        return LatticeLevel(self.floor.low, self.floor.table, values, active, self.coded)


def pyramid(leaves: Leaves, part: Chunk, lattice: Quantiser) -> list[MeanLevel]:
    """All floors over the voxels of a domain, of which inactive ones are 0."""
    bricks, constants = len(leaves), len(leaves.constants)
    counts = np.zeros((bricks + constants, EDGE**3), np.uint8)
    for some in pieces(bricks, ROWS):
        counts[some] = leaves.on(some)
    tiles = np.nonzero(leaves.constants_active)[0]
    means = np.repeat(Quantiser(lattice.unit).nearest(leaves.constants[tiles])[:, None], EDGE**3, 1)
    pairs = np.zeros((0, 2), np.int32)
    floor = MeanLevel(
        part.low, part.table, bricks, counts, pairs, bricks + tiles, means, np.ones(means.shape, np.uint8)
    )
    floors = [floor]
    while len(floors) <= FLOORS:
        floors.append(_merged(floors[-1], len(floors) - 1))
    return floors


def _merged(fine: MeanLevel, j: int) -> MeanLevel:
    """The floor above floor j."""
    axis = AXES[j % 3]
    table = np.moveaxis(fine.table, axis, 2)
    shape = (*table.shape[:2], table.shape[2] // 2)
    pairs = table.reshape(-1, 2)
    needed = fine.counts.any(1)[pairs].any(1)
    others, which = distinct(pairs[~needed])
    place = np.empty(len(pairs), np.int32)
    place[needed] = np.arange(needed.sum())
    place[~needed] = needed.sum() + which
    rows = np.concatenate([pairs[needed], pairs[~needed][others]])
    counts = np.empty((len(rows), EDGE**3), np.uint8 if 2 << j < 256 else np.uint16)
    for some in pieces(len(rows), ROWS):
        counts[some] = sum(half.astype(counts.dtype) for half in halves(fine.counts, rows[some], axis))
    table = np.ascontiguousarray(np.moveaxis(place.reshape(shape), 2, axis))
    return MeanLevel(fine.low, table, int(needed.sum()), counts, rows, *_others(fine, rows, counts, axis))


def _others(
    fine: MeanLevel, pairs: np.ndarray, counts: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`others`, `means` and `active` of the floor above, whose rows join `pairs` and have `counts` coded voxels."""
    place = np.full(len(fine.counts), len(fine.others))  # of each row below among the others; a row of 0 follows them
    place[fine.others] = np.arange(len(fine.others))
    rows = np.nonzero((place[pairs] < len(fine.others)).any(1))[0]
    fine_means, fine_active = (np.pad(array, ((0, 1), (0, 0))) for array in (fine.means, fine.active))
    kept, means, active = [rows[:0]], [fine.means[:0]], [fine.active[:0]]
    for some in pieces(len(rows), ROWS):
        below = place[pairs[rows[some]]]
        coded = counts[rows[some]] > 0
        a, b = halves(fine_means, below, axis)
        on = np.where(coded, 0, np.maximum(*halves(fine_active, below, axis)))
        mean = np.where(coded, 0, (a + b) >> 1)
        there = (on | mean).any(1)
        kept.append(rows[some][there])
        means.append(mean[there])
        active.append(on[there])
    return tuple(np.concatenate(parts) for parts in (kept, means, active))


def blank_means(floor: MeanLevel) -> np.ndarray:
    """(R, 512) int32: the means of a floor; those of coded cells are 0."""
    means = np.zeros(floor.counts.shape, np.int32)
    means[floor.others] = floor.means
    return means


def _companded(means: np.ndarray, knee: int, implementation: str) -> np.ndarray:
    if not knee:
        return means
    if implementation == "native":
        found = np.empty_like(means)
        _lattice.compand(means, knee, found)
        return found
    return compand_whole(means, knee).astype(np.int32)


class TrueMeans:
    """The true means of the coded voxels of a domain on every floor, in lattice units, as float32.

    Those of voxels are taken from the leaves when asked for, those of larger cells are sums over their counts; a floor
    is forgotten when a lower one is asked for.
    """

    def __init__(self, leaves: Leaves, floors: list[MeanLevel], lattice: Quantiser) -> None:
        self._leaves, self._floors, self._lattice = leaves, floors, lattice
        self._sums = [np.zeros((0, EDGE**3), np.float32), self._first_sums()]
        for j, floor in enumerate(floors[2:], 1):
            self._sums.append(np.empty(floor.counts.shape, np.float32))
            for some in pieces(len(floor.pairs), ROWS):
                even, odd = halves(self._sums[j], floor.pairs[some], AXES[j % 3])
                self._sums[j + 1][some] = even + odd

    def means(self, j: int, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(n,) float32: the means of cells of floor j that are coded."""
        del self._sums[j + 1 :]
        if j == 0:
            return self._exact(self._leaves.points(row, place))
        return self._sums[j][row, place] / self._floors[j].counts[row, place].astype(np.float32)

    def gaps(self, j: int, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(n,) float32: of cells of floor j + 1, both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        rows, places = below(self._floors[j + 1].pairs, row, place, AXES[j % 3])
        first, second = (compand(self.means(j, rows, p), self._lattice.knee) for p in places)
        return first - second

    def _exact(self, values: np.ndarray) -> np.ndarray:
        found = values.astype(np.float64) / self._lattice.unit
        return np.nan_to_num(found, nan=0.0, posinf=LIMIT, neginf=-LIMIT).clip(-LIMIT, LIMIT).astype(np.float32)

    def _first_sums(self) -> np.ndarray:
        pairs = self._floors[1].pairs
        sums = np.empty((len(pairs), EDGE**3), np.float32)
        for some in pieces(len(pairs), ROWS):
            even, odd = _split(*(self._voxels(rows) for rows in pairs[some].T), AXES[0])
            sums[some] = even + odd
        return sums

    def _voxels(self, rows: np.ndarray) -> np.ndarray:
        """(n, 512) float32 of rows of floor 0, 0 where not coded."""
        found = np.zeros((len(rows), EDGE**3), np.float32)
        real = rows < len(self._leaves)
        rows = rows[real]
        found[real] = np.where(self._leaves.on(rows), self._exact(self._leaves.rows(rows)), np.float32(0))
        return found


def below(
    pairs: np.ndarray, row: np.ndarray, place: np.ndarray, axis: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Rows (n,) of the floor below and the places (n,) in them of the first and of the second halves of cells."""
    shift = 6 - 3 * axis
    along = place.astype(np.int64) >> shift & 7
    first = (place & ~(7 << shift)) | (2 * along & 7) << shift
    return pairs[row, along >> 2], (first, first + (1 << shift))


def halves(fine: np.ndarray, pairs: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second halves (n, 512) of the cells of each row of pairs (n, 2) of rows of `fine`."""
    return _split(fine[pairs[:, 0]], fine[pairs[:, 1]], axis)


def _split(a: np.ndarray, b: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([rows.reshape(-1, EDGE, EDGE, EDGE) for rows in (a, b)], axis=1 + axis)
    return tuple(_every_second(both, axis, first).reshape(-1, EDGE**3) for first in (0, 1))


def _every_second(bricks: np.ndarray, axis: int, first: int) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(bricks, 1 + axis, 1)[:, first::2], 1, 1 + axis))


def shares(
    coarse: MeanLevel, fine: MeanLevel, axis: int, implementation: str = "native"
) -> tuple[np.ndarray, np.ndarray]:
    """The first half's part of every cell's coded voxels, (R, 512) uint8 in 1/SHARES, and whether both have some."""
    if implementation == "native":
        share, both = np.empty((2, *coarse.counts.shape), np.uint8)
        _lattice.shares(coarse.pairs, fine.counts, axis, share, both)
        return share, both
    first, second = (half.astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    share = (SHARES * first // np.maximum(first + second, 1)).astype(np.uint8)
    return share, ((first > 0) & (second > 0)).view(np.uint8)


def split(
    above: Cells, fine: MeanLevel, axis: int, difference: np.ndarray, lattice: Quantiser, implementation: str = "native"
) -> np.ndarray:
    """Means (R', 512) int32 of the floor below from those above and differences (R, 512) int32, first less second half.

    Differences are of companded means, but it is the mean itself that the halves have together.
    """
    coarse, found = above.floor, blank_means(fine)
    bricks = coarse.bricks
    if implementation == "native":
        numbers = (axis, lattice.knee, lattice.positive, TOP)
        _lattice.split(coarse.pairs, fine.counts, above.means[:bricks], difference, *numbers, found)
        return found
    first, second = (half[:bricks].astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    mean = above.means[:bricks].astype(np.int64)
    middle = compand_whole(mean, lattice.knee)
    a, b = _halved(mean, middle, difference[:bricks].astype(np.int64), first, second, lattice)
    joined = np.stack([np.moveaxis(h.reshape(-1, EDGE, EDGE, EDGE), 1 + axis, 1) for h in (a, b)], 2)
    joined = np.moveaxis(joined.reshape(bricks, 2 * EDGE, EDGE, EDGE), 1, 1 + axis).clip(-TOP, TOP)
    for half, part in enumerate(np.split(joined, 2, axis=1 + axis)):
        rows = coarse.pairs[:bricks, half]
        found[rows] = np.where(fine.counts[rows] > 0, part.reshape(-1, EDGE**3), found[rows])
    return found


def _halved(
    mean: np.ndarray, middle: np.ndarray, gap: np.ndarray, first: np.ndarray, second: np.ndarray, lattice: Quantiser
) -> tuple[np.ndarray, np.ndarray]:
    """Means of both halves; a half without coded voxels may get anything."""
    swapped = gap < 0
    most, least = np.where(swapped, second, first), np.where(swapped, first, second)
    large, small = _solved((most + least) * mean, middle, np.abs(gap), most, least, lattice)
    large, small = np.where(least == 0, mean, large), np.where(most == 0, mean, small)
    return np.where(swapped, small, large), np.where(swapped, large, small)


def _solved(
    total: np.ndarray, middle: np.ndarray, gap: np.ndarray, most: np.ndarray, least: np.ndarray, lattice: Quantiser
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
