"""The boxes of many chunks as one table, and how the boxes of coarser cells follow from them: all of it on the host, so
that one copy takes what a device needs of all levels.

Letters in shapes: D chunks, T cells of all their boxes, R bricks, the first B of them with points to be coded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from neuralvdb.archive.device import upload
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.neighbours import Neighbours, find_neighbours
from neuralvdb.volume.lookup import distinct


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """D boxes of cells.

    sizes: (D, 3) int64 in cells;
    table: (T,) int32, the brick in each cell, box after box;
    cells: (B, 4) int32, box, x, y, z of each brick with points to be coded;
    starts: (D + 1,) int64, where the bricks of each box begin;
    children: (R, 2 or 8) int64, the finer bricks that each brick joins; none where there are no finer ones.
    """

    sizes: np.ndarray
    table: np.ndarray
    cells: np.ndarray
    starts: np.ndarray
    children: np.ndarray

    @property
    def bricks(self) -> int:
        """B."""
        return len(self.cells)

    @property
    def first(self) -> np.ndarray:
        """(D + 1,) int64: where each box begins in the table."""
        return np.cumsum([0, *self.sizes.prod(1)])

    def tables(self) -> Iterator[np.ndarray]:
        """(X, Y, Z) int32 of each box."""
        for (begin, end), size in zip(pairwise(self.first), self.sizes, strict=True):
            yield self.table[begin:end].reshape(size)

    def parents(self, coarse: Boxes) -> np.ndarray:
        """(B,) int32: eight times the coarser brick, of cells twice as long along an axis or along all, that each brick
        to be coded lies in, plus its octant there, whose bits are 0 along other axes."""
        box, cell = self.cells[:, 0], self.cells[:, 1:].astype(np.int64)
        (x, y, z), octant = (
            np.moveaxis(array, 1, 0) for array in np.divmod(cell, self.sizes[box] // coarse.sizes[box])
        )
        at = coarse.first[box] + (x * coarse.sizes[box, 1] + y) * coarse.sizes[box, 2] + z
        return (coarse.table[at] * 8 + (octant[0] * 4 + octant[1] * 2 + octant[2])).astype(np.int32)


def downsample(fine: Boxes, coded: np.ndarray, axis: int | None) -> Boxes:
    """Boxes of cells twice as long along an axis, or along all where it is None.

    coded: (R,) bool, whether a brick of `fine` has points to be coded. Cells are numbered axis by axis, the given one
    last.
    """
    factors = [2 if axis in (None, other) else 1 for other in range(3)]
    order = [0, 1, 2] if axis is None else [*(other for other in range(3) if other != axis), axis]
    sizes = fine.sizes // factors
    eights = [_children(table, factors, order) for table in fine.tables()]
    children = np.concatenate(eights).astype(np.int64)
    needed: np.ndarray = np.any(coded[children], axis=1)
    kept, constant = children[needed], children[~needed]
    first, which = distinct(constant)  # cells that join the same finer bricks share one
    number = np.empty(len(children), np.int32)
    number[needed] = np.arange(len(kept))
    number[~needed] = len(kept) + which
    ends = np.cumsum([0, *map(len, eights)])
    cells, tables = [], []
    for d, (begin, end) in enumerate(pairwise(ends)):
        shape = tuple(sizes[d][order])
        cell = np.stack(np.unravel_index(np.flatnonzero(needed[begin:end]), shape), 1)
        cells.append(np.concatenate([np.full((len(cell), 1), d), cell[:, np.argsort(order)]], 1))
        tables.append(number[begin:end].reshape(shape).transpose(np.argsort(order)).reshape(-1))
    return Boxes(
        sizes=sizes,
        table=np.concatenate(tables),
        cells=np.concatenate(cells).astype(np.int32),
        starts=np.cumsum([0, *map(len, cells)]),
        children=np.concatenate([kept, constant[first]]),
    )


def _children(table: np.ndarray, factors: Sequence[int], order: Sequence[int]) -> np.ndarray:
    """(cells, 2 or 8): the finer bricks in each cell, cells in the order of the axes."""
    split = [number for n, factor in zip(table.shape, factors, strict=True) for number in (n // factor, factor)]
    within = table.reshape(split).transpose(*(2 * axis for axis in order), 1, 3, 5)
    return within.reshape(-1, int(np.prod(factors)))


def of_components(levels: Sequence[Boxes], components: int, bricks: int) -> list[Boxes]:
    """The boxes of levels once for each component; bricks: R of the finest level.

    Bricks with points to be coded come first, those of one component after those of another, then the other bricks.
    """
    every = [bricks, *(len(level.children) for level in levels[1:])]
    copies = [_Copies(components, level.bricks, r) for level, r in zip(levels, every, strict=True)]
    return [_repeated(level, copies[k], copies[k - 1]) for k, level in enumerate(levels)]


@dataclass(frozen=True)
class _Copies:
    """So many copies of a level of R bricks, of which the first B have points to be coded."""

    count: int
    coded: int
    every: int

    def numbers(self, bricks: np.ndarray) -> np.ndarray:
        """(count, ...): the numbers of some bricks in each copy, of the same type."""
        has_points, dtype = bricks < self.coded, bricks.dtype.type
        step = np.where(has_points, dtype(self.coded), dtype(self.every - self.coded))
        numbers = np.empty((self.count, *bricks.shape), bricks.dtype)
        np.add(bricks, np.where(has_points, dtype(0), dtype(self.coded * (self.count - 1))), out=numbers[0])
        for copy in range(1, self.count):
            np.add(numbers[copy - 1], step, out=numbers[copy])
        return numbers


def _repeated(level: Boxes, copies: _Copies, finer: _Copies) -> Boxes:
    count, coded = copies.count, copies.coded
    cells = np.tile(level.cells, (count, 1))
    cells[:, 0] += np.repeat(len(level.sizes) * np.arange(count, dtype=np.int32), coded)
    starts = level.starts[:-1] + coded * np.arange(count)[:, None]
    children, shape = finer.numbers(level.children), (-1, level.children.shape[1])
    return Boxes(
        sizes=np.tile(level.sizes, (count, 1)),
        table=copies.numbers(level.table).reshape(-1),
        cells=cells,
        starts=np.append(starts, count * coded),
        children=np.concatenate([children[:, :coded].reshape(shape), children[:, coded:].reshape(shape)]),
    )


def neighbours_of(levels: Sequence[Boxes], device: torch.device, implementation: str) -> list[Neighbours]:
    """The bricks around each brick with points to be coded, of many levels at once."""
    tables = np.cumsum([0, *(len(level.table) for level in levels)])
    boxes = np.cumsum([0, *(len(level.sizes) for level in levels)])
    shapes = [
        np.column_stack([level.first[:-1] + begin, level.sizes]) for level, begin in zip(levels, tables, strict=False)
    ]
    cells = [level.cells + np.array([begin, 0, 0, 0], np.int32) for level, begin in zip(levels, boxes, strict=False)]
    table, cell = upload([np.concatenate([level.table for level in levels]), np.concatenate(cells)], device)
    (shape,) = upload([np.concatenate(shapes)], device)
    every = find_neighbours(table, shape, cell, implementation=implementation)
    counts = [level.bricks for level in levels]
    pairs = zip(every.bricks.split(counts), every.edges.split(counts), strict=True)
    return [Neighbours(bricks=bricks, edges=edges) for bricks, edges in pairs]
