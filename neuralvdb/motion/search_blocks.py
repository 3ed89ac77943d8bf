"""Vectors of blocks by which a grid becomes most like another one. Encoders only.

The definition, for all of which motion/native/search.h is the twin: blocks move together in groups, smaller and smaller
ones by smaller and smaller steps, wherever that makes errors smaller by more than what it costs that neighbouring
blocks move differently. All is done in integers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.motion import blocks as of_blocks
from neuralvdb.motion.blocks import EDGE_LOG2, MOST, MOST_BLOCKS, Blocks
from neuralvdb.motion.field import Field
from neuralvdb.motion.move import LIMIT, LINEAR, interpolated
from neuralvdb.motion.types import Leaves, Motion
from neuralvdb.values.lattice.compand import compand_whole
from neuralvdb.volume.grid import LEAF_SLOTS

_LEVELS = ((8, 16), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2), (1, 1))  # edges of groups in blocks, and steps
_SWEEPS = 2  # times that all groups of a level are tried
_PRICE = 2  # errors of a voxel that neighbours must save that move differently by 1/8 voxel
_MOST_ERROR = 1 << 18
_SLOTS = np.stack(np.unravel_index(np.arange(LEAF_SLOTS), (8, 8, 8)), axis=1)


@dataclass(frozen=True)
class Wanted:
    """What a grid is to be like once it is moved.

    origins: of leaves, (N, 3) int32. values: (N, 512) int32, in units, companded by a knee; those count of which
    `counted`, (N, 512) bool, is true.
    """

    origins: np.ndarray
    values: np.ndarray
    counted: np.ndarray
    knee: int


def search_blocks(source: Leaves, wanted: Wanted, motion: Motion, *, implementation: str = "native") -> Blocks | None:
    """The vectors of blocks that move a source of one component; None where there would be too many blocks.

    motion: the unit, and a shift that comes before. implementation: "native" or "reference", which find the same.
    """
    low, high = wanted.origins.min(0) >> EDGE_LOG2, wanted.origins.max(0) >> EDGE_LOG2
    size = tuple(int(n) for n in high.astype(np.int64) - low + 1)
    if np.prod(size, dtype=np.float64) > MOST_BLOCKS:
        return None
    blocks = Blocks((int(low[0]), int(low[1]), int(low[2])), (size[0], size[1], size[2]), b"")
    if implementation == "native":
        from neuralvdb.motion.native_move import native_search

        return native_search(source, wanted, motion, blocks)
    search = _Search(Field.of(source, 1 / motion.unit, LIMIT), wanted, motion, blocks)
    search.run()
    return Blocks(blocks.low, blocks.size, search.vectors.astype(np.int8).tobytes())


class _Search:
    """vectors: (X, Y, Z, 3) int64, so far."""

    def __init__(self, field: Field, wanted: Wanted, motion: Motion, blocks: Blocks) -> None:
        leaf, slot = np.nonzero(wanted.counted)
        self._field, self._wanted = field, wanted.values[leaf, slot].astype(np.int64)
        self._knee = wanted.knee
        voxels = wanted.origins[leaf].astype(np.int64) + _SLOTS[slot]
        self._voxels = voxels - np.array(motion.shift, np.int64)
        self._near = of_blocks.neighbours(blocks, voxels)
        self._sums = np.zeros_like(voxels)
        self._errors = self._errors_by(self._sums, slice(None))
        self.vectors = np.zeros((*blocks.size, 3), np.int64)

    def run(self) -> None:
        """Finds the vectors."""
        for edge, step in _LEVELS:
            price = _PRICE * int(self._errors.sum()) // max(len(self._errors), 1)
            for _ in range(_SWEEPS):
                moved = [self._try_group(group, step, price) for group in self._groups(edge)]
                if not any(moved):
                    break

    def _groups(self, edge: int) -> Iterator[tuple[slice, ...]]:
        starts = [range(0, size, edge) for size in self.vectors.shape[:3]]
        for first in itertools.product(*starts):
            yield tuple(slice(at, at + edge) for at in first)

    def _try_group(self, group: tuple[slice, ...], step: int, price: int) -> bool:
        """Whether a group moves by a step along any axis, where it pays."""
        weights = self._weights_of(group)
        here = np.flatnonzero(weights)
        moved = False
        for axis in range(3):
            for way in (step, -step):
                if np.abs(self.vectors[..., axis][group] + way).max() > MOST:
                    continue
                sums = self._sums[here]
                sums[:, axis] += weights[here] * way
                errors = self._errors_by(sums, here)
                saved = int(self._errors[here].sum()) - int(errors.sum())
                if saved > price * self._unevenness(group, axis, way):
                    self._sums[here], self._errors[here] = sums, errors
                    self.vectors[..., axis][group] += way
                    moved = True
                    break
        return moved

    def _weights_of(self, group: tuple[slice, ...]) -> np.ndarray:
        """The weights (n,) that a group has at voxels."""
        first, second, weight = self._near
        within = [
            np.where((block >= [s.start for s in group]) & (block < [s.stop for s in group]), share, 0)
            for block, share in ((first, 2 * (1 << EDGE_LOG2) - weight), (second, weight))
        ]
        weights: np.ndarray = (within[0] + within[1]).prod(axis=1)
        return weights

    def _unevenness(self, group: tuple[slice, ...], axis: int, way: int) -> int:
        """By how much the vectors on both sides of a group's faces differ more once it moves."""
        vectors, more = self.vectors[..., axis], 0
        for across in range(3):
            for inner, outer in ((group[across].start, -1), (group[across].stop - 1, 1)):
                if not 0 <= inner < vectors.shape[across] or not 0 <= inner + outer < vectors.shape[across]:
                    continue
                sides = [list(group), list(group)]
                sides[0][across], sides[1][across] = slice(inner, inner + 1), slice(inner + outer, inner + outer + 1)
                apart = vectors[tuple(sides[0])] - vectors[tuple(sides[1])]
                more += int((np.abs(apart + way) - np.abs(apart)).sum())
        return more

    def _errors_by(self, sums: np.ndarray, here: np.ndarray | slice) -> np.ndarray:
        """Squared errors of voxels, by their sums of vectors."""
        at = (self._voxels[here] << 8) - of_blocks.rounded(sums)
        said = interpolated(self._field, at, LINEAR)[:, 0]
        errors = self._wanted[here] - compand_whole(said, self._knee)
        return np.square(errors.clip(-_MOST_ERROR, _MOST_ERROR))
