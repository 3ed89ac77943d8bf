"""A component of a chunk as a pyramid of means: each level joins the cells of the one below in pairs.

Level 0 holds voxels; level j + 1 cells twice as long as those of level j along split_axis(j), so that the cells of
every third level are cubes. A cell that covers coded voxels holds their mean; any other the mean of what it covers.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.compand import compand, compand_whole, expand_whole
from neuralvdb.values.lattice.constants import (
    EDGE,
    LIMIT,
    MAX_DECODED,
    MEAN_LEVELS,
    ROWS_AT_A_TIME,
    SHARES,
    SLOTS,
)
from neuralvdb.values.lattice.levels import LatticeLevel, pieces
from neuralvdb.values.lattice.pass_order import split_axis
from neuralvdb.values.lattice.points import Points
from neuralvdb.volume.lookup import distinct


@dataclass
class MeanLevel:
    """What is known of a level before any mean of coded cells is.

    low: (3,) int64 and table: (X, Y, Z) int32 as in LatticeLevel
    bricks: B, how many rows hold coded cells; they come first
    counts: (R, 512) uint8 or uint16, coded voxels of each cell
    pairs: (R, 2) int32, the rows of the level below that each row joins; none on level 0
    uncoded: (M,) int64, rows with cells that are not coded but active or other than 0
    means: (M, 512) int32 of their cells that are not coded
    active: (M, 512) uint8, whether those are active
    """

    low: np.ndarray
    table: np.ndarray
    bricks: int
    counts: np.ndarray
    pairs: np.ndarray
    uncoded: np.ndarray
    means: np.ndarray
    active: np.ndarray

    @property
    def coded(self) -> np.ndarray:
        """(B, 512): not 0 where a cell covers coded voxels."""
        return self.counts[: self.bricks]


@dataclass
class Cells:
    """A level with its means (R, 512) int32."""

    level: MeanLevel
    means: np.ndarray

    def lattice_level(self, knee: int, implementation: str = "native") -> LatticeLevel:
        """The cells with companded means."""
        active = (self.level.counts > 0).view(np.uint8)
        active[self.level.uncoded] |= self.level.active
        values = _companded(self.means, knee, implementation)
        return LatticeLevel(self.level.low, self.level.table, values, active, self.level.coded)


def mean_pyramid(component: ChunkComponent, quantiser: Quantiser) -> list[MeanLevel]:
    """All levels over the voxels of a chunk, of which inactive ones are 0."""
    bricks, constants = len(component), len(component.constants)
    counts = np.zeros((bricks + constants, SLOTS), np.uint8)
    for rows in pieces(bricks, ROWS_AT_A_TIME):
        counts[rows] = component.active(rows)
    tiles = np.nonzero(component.constants_active)[0]
    means = np.repeat(Quantiser(quantiser.unit).nearest(component.constants[tiles])[:, None], SLOTS, 1)
    voxels = MeanLevel(
        low=component.low,
        table=component.table,
        bricks=bricks,
        counts=counts,
        pairs=np.zeros((0, 2), np.int32),
        uncoded=bricks + tiles,
        means=means,
        active=np.ones(means.shape, np.uint8),
    )
    pyramid = [voxels]
    while len(pyramid) < MEAN_LEVELS:
        pyramid.append(_merged(pyramid[-1], len(pyramid) - 1))
    return pyramid


def _merged(fine: MeanLevel, j: int) -> MeanLevel:
    """The level above level j."""
    axis, voxels = split_axis(j), 2 << j  # of a cell
    table = np.moveaxis(fine.table, axis, 2)
    shape = (*table.shape[:2], table.shape[2] // 2)
    pairs = table.reshape(-1, 2)
    coded = np.asarray(fine.counts.any(1))
    needed = coded[pairs].any(1)
    first, which = distinct(pairs[~needed])
    number = np.empty(len(pairs), np.int32)
    number[needed] = np.arange(needed.sum())
    number[~needed] = needed.sum() + which
    joined = np.concatenate([pairs[needed], pairs[~needed][first]])
    counts = np.empty((len(joined), SLOTS), np.uint8 if voxels < 256 else np.uint16)
    for rows in pieces(len(joined), ROWS_AT_A_TIME):
        first_half, second_half = halves(fine.counts, joined[rows], axis)
        counts[rows] = first_half.astype(counts.dtype) + second_half
    table = np.ascontiguousarray(np.moveaxis(number.reshape(shape), 2, axis))
    uncoded, means, active = _uncoded(fine, joined, counts, axis)
    return MeanLevel(
        low=fine.low,
        table=table,
        bricks=int(needed.sum()),
        counts=counts,
        pairs=joined,
        uncoded=uncoded,
        means=means,
        active=active,
    )


def _uncoded(
    fine: MeanLevel, pairs: np.ndarray, counts: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`uncoded`, `means` and `active` of the level above, whose rows join `pairs` and have `counts` coded voxels."""
    none = len(fine.uncoded)
    number = np.full(len(fine.counts), none)  # of each row below among `uncoded`, behind which a row of 0 is put
    number[fine.uncoded] = np.arange(none)
    candidates = np.nonzero((number[pairs] < none).any(1))[0]
    fine_means, fine_active = (np.pad(array, ((0, 1), (0, 0))) for array in (fine.means, fine.active))
    kept, means, active = [candidates[:0]], [fine.means[:0]], [fine.active[:0]]
    for piece in pieces(len(candidates), ROWS_AT_A_TIME):
        rows = candidates[piece]
        below, coded = number[pairs[rows]], counts[rows] > 0
        a, b = halves(fine_means, below, axis)
        on = np.where(coded, 0, np.maximum(*halves(fine_active, below, axis)))
        mean = np.where(coded, 0, (a + b) >> 1)
        needed = (on | mean).any(1)
        kept.append(rows[needed])
        means.append(mean[needed])
        active.append(on[needed])
    return np.concatenate(kept), np.concatenate(means), np.concatenate(active)


def blank_means(level: MeanLevel) -> np.ndarray:
    """(R, 512) int32: the means of a level before decoding; those of coded cells are 0."""
    means = np.zeros(level.counts.shape, np.int32)
    means[level.uncoded] = level.means
    return means


def _companded(means: np.ndarray, knee: int, implementation: str) -> np.ndarray:
    if not knee:
        return means
    if implementation == "native":
        companded = np.empty_like(means)
        _lattice.compand(means, knee, companded)
        return companded
    return compand_whole(means, knee).astype(np.int32)


class TrueMeans:
    """The true means of the coded voxels of a component on every level, in lattice units, as float32.

    Those of voxels are taken from the leaves when asked for, those of larger cells are sums over their counts; a level
    is forgotten when a lower one is asked for.
    """

    def __init__(self, component: ChunkComponent, pyramid: list[MeanLevel], quantiser: Quantiser) -> None:
        self.component, self._pyramid, self._quantiser = component, pyramid, quantiser
        self._sums = [np.zeros((0, SLOTS), np.float32), self._first_sums()]
        for j, level in enumerate(pyramid[2:], 1):
            self._sums.append(np.empty(level.counts.shape, np.float32))
            for rows in pieces(len(level.pairs), ROWS_AT_A_TIME):
                first, second = halves(self._sums[j], level.pairs[rows], split_axis(j))
                self._sums[j + 1][rows] = first + second

    def means(self, j: int, points: Points) -> np.ndarray:
        """(n,) float32: the means of coded cells of level j."""
        del self._sums[j + 1 :]
        if j == 0:
            return self._exact(self.component.points(points))
        return self._sums[j][points.index] / self._pyramid[j].counts[points.index].astype(np.float32)

    def differences(self, j: int, points: Points) -> np.ndarray:
        """(n,) float32: of cells of level j + 1, both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        both = split_points(points, self._pyramid[j + 1].pairs, split_axis(j))
        first, second = (compand(self.means(j, half), self._quantiser.knee) for half in both)
        return first - second

    def _exact(self, values: np.ndarray) -> np.ndarray:
        exact = values.astype(np.float64) / self._quantiser.unit
        return np.nan_to_num(exact, nan=0.0, posinf=LIMIT, neginf=-LIMIT).clip(-LIMIT, LIMIT).astype(np.float32)

    def _first_sums(self) -> np.ndarray:
        pairs = self._pyramid[1].pairs
        sums = np.empty((len(pairs), SLOTS), np.float32)
        for rows in pieces(len(pairs), ROWS_AT_A_TIME):
            first, second = pairs[rows].T
            first_half, second_half = _split(self._voxels(first), self._voxels(second), split_axis(0))
            sums[rows] = first_half + second_half
        return sums

    def _voxels(self, rows: np.ndarray) -> np.ndarray:
        """(n, 512) float32 of rows of level 0, 0 where not coded."""
        voxels = np.zeros((len(rows), SLOTS), np.float32)
        is_leaf = rows < len(self.component)
        leaves = rows[is_leaf]
        exact = self._exact(self.component.rows(leaves))
        voxels[is_leaf] = np.where(self.component.active(leaves), exact, np.float32(0))
        return voxels


def split_points(points: Points, pairs: np.ndarray, axis: int) -> tuple[Points, Points]:
    """The first and the second halves of cells, on the level below; pairs: (R, 2) int32, rows that each row joins."""
    shift = 6 - 3 * axis
    along = points.offset.astype(np.int64) >> shift & 7
    first = (points.offset & ~(7 << shift)) | (2 * along & 7) << shift
    brick = pairs[points.brick, along >> 2]
    return Points(brick, first), Points(brick, first + (1 << shift))


def halves(fine: np.ndarray, pairs: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second halves (n, 512) of the cells of each row of pairs (n, 2) of rows of `fine`."""
    return _split(fine[pairs[:, 0]], fine[pairs[:, 1]], axis)


def _split(a: np.ndarray, b: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    both = np.concatenate([rows.reshape(-1, EDGE, EDGE, EDGE) for rows in (a, b)], axis=1 + axis)
    return _every_second(both, axis, 0).reshape(-1, SLOTS), _every_second(both, axis, 1).reshape(-1, SLOTS)


def _every_second(bricks: np.ndarray, axis: int, first: int) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(bricks, 1 + axis, 1)[:, first::2], 1, 1 + axis))


def shares(
    coarse: MeanLevel, fine: MeanLevel, axis: int, implementation: str = "native"
) -> tuple[np.ndarray, np.ndarray]:
    """The first half's share of every cell's coded voxels, (R, 512) uint8 in 1/SHARES, and whether both have some."""
    if implementation == "native":
        share, both = np.empty((2, *coarse.counts.shape), np.uint8)
        _lattice.shares(coarse.pairs, fine.counts, axis, share, both)
        return share, both
    first, second = (half.astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    share = (SHARES * first // np.maximum(first + second, 1)).astype(np.uint8)
    return share, ((first > 0) & (second > 0)).view(np.uint8)


def split(
    above: Cells,
    fine: MeanLevel,
    axis: int,
    differences: np.ndarray,
    quantiser: Quantiser,
    implementation: str = "native",
) -> np.ndarray:
    """Means (R', 512) int32 of the level below.

    above: the level with its means
    differences: (R, 512) int32, companded mean of the first half of each cell less that of the second

    It is the mean itself, not the companded one, that the halves have together.
    """
    coarse, below = above.level, blank_means(fine)
    bricks = coarse.bricks
    if implementation == "native":
        rules = (axis, quantiser.knee, quantiser.nonnegative)
        _lattice.split(coarse.pairs, fine.counts, above.means[:bricks], differences, rules, below)
        return below
    first, second = (half[:bricks].astype(np.int64) for half in halves(fine.counts, coarse.pairs, axis))
    cells = _Cells(above.means[:bricks].astype(np.int64), differences[:bricks].astype(np.int64), first, second)
    a, b = _split_means(cells, quantiser)
    joined = np.stack([np.moveaxis(h.reshape(-1, EDGE, EDGE, EDGE), 1 + axis, 1) for h in (a, b)], 2)
    joined = np.moveaxis(joined.reshape(bricks, 2 * EDGE, EDGE, EDGE), 1, 1 + axis).clip(-MAX_DECODED, MAX_DECODED)
    for number, half in enumerate(np.split(joined, 2, axis=1 + axis)):
        rows = coarse.pairs[:bricks, number]
        below[rows] = np.where(fine.counts[rows] > 0, half.reshape(-1, SLOTS), below[rows])
    return below


@dataclass(frozen=True)
class _Cells:
    """Cells to be split: their means, the differences of their halves, and how many voxels those have, all int64."""

    mean: np.ndarray
    difference: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _split_means(cells: _Cells, quantiser: Quantiser) -> tuple[np.ndarray, np.ndarray]:
    """Means of both halves; a half without coded voxels may get anything."""
    mean, first, second = cells.mean, cells.first, cells.second
    swapped = cells.difference < 0
    most, least = np.where(swapped, second, first), np.where(swapped, first, second)
    large, small = _solved(_Cells(mean, np.abs(cells.difference), most, least), quantiser)
    large, small = np.where(least == 0, mean, large), np.where(most == 0, mean, small)
    return np.where(swapped, small, large), np.where(swapped, large, small)


def _solved(cells: _Cells, quantiser: Quantiser) -> tuple[np.ndarray, np.ndarray]:
    """Means of the half with the larger mean, the first, and of the other one, that together have the cell's sum.

    The smaller companded mean is the largest integer with which the sum is not exceeded; what the sum then lacks goes
    to the larger one.
    """
    most, least, difference = cells.first, cells.second, cells.difference
    total, middle = (most + least) * cells.mean, compand_whole(cells.mean, quantiser.knee)

    def expanded(companded: np.ndarray) -> np.ndarray:
        return expand_whole(companded, quantiser.knee).clip(-MAX_DECODED, MAX_DECODED)

    low, high = middle - difference - 1, middle + 1
    while (high - low > 1).any():
        tried = (low + high) >> 1
        fits = most * expanded(tried + difference) + least * expanded(tried) <= total
        low, high = np.where(fits, tried, low), np.where(fits, high, tried)
    large, small = expanded(low + difference), expanded(low)
    large = large + (total - most * large - least * small) // np.maximum(most, 1)
    if quantiser.nonnegative:
        large = np.where(low < 0, total // np.maximum(most, 1), large)
    large = large.clip(-MAX_DECODED, MAX_DECODED)
    return large, (total - most * large) // np.maximum(least, 1)
