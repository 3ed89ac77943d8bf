"""Values that the lattice misses, and those that mend a picture. Where values are saved as half, and the next half
keeps the promise, a value that is missed is moved there; else it is stored exactly (layout in archive/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.dataclass import dataclass
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import LEAF_SLOTS, LeafLevel

Index = tuple[np.ndarray, np.ndarray, int]  # leaves, voxels in them, a component

_DIRECTIONS = (np.inf, -np.inf)  # of the next half, in the order in which moved values are listed


@dataclass(frozen=True)
class Voxels:
    """Voxels of a tree. leaf: (n,) int64; voxel: (n,) int64, in the leaf."""

    leaf: np.ndarray
    voxel: np.ndarray

    def select(self, index: np.ndarray | slice) -> Voxels:
        """Some of them."""
        return Voxels(self.leaf[index], self.voxel[index])


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """The outliers of one component of a chunk: first those moved upwards, then downwards, then those stored.

    leaf: (n,) int64, number of the leaf in the chunk.
    voxel: (n,) int64, in the leaf.
    up: how many are moved upwards.
    down: how many are moved downwards.
    exact: (n - up - down,) values stored.
    """

    leaf: np.ndarray
    voxel: np.ndarray
    up: int
    down: int
    exact: np.ndarray

    def values(self, decoded: np.ndarray) -> np.ndarray:
        """(n,) values in place of those decoded."""
        up, down, _ = np.split(decoded, np.cumsum([self.up, self.down]))
        return np.concatenate([_next_half(up, np.inf), _next_half(down, -np.inf), self.exact])


def put(out: FieldWriter, promise: Promise, slot: np.ndarray, true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Appends outliers and gives the values (n,) that they will decode to.

    slot: (n,) int64, leaf * LEAF_SLOTS + voxel, ascending.
    true: (n,) what values should be.
    decoded: (n,) what the lattice makes of them.
    """
    values, left = true.copy(), np.ones(len(slot), bool)
    for direction in _DIRECTIONS if promise.mode.half else ():
        moved = _next_half(decoded, direction)
        enough = left & promise.kept(true, moved)
        _put_slots(out, slot[enough])
        values[enough] = moved[enough]
        left &= ~enough
    _put_slots(out, slot[left])
    if left.any():
        put_array(out, true[left])
    return values


def put_exact(out: FieldWriter, promise: Promise, slot: np.ndarray, true: np.ndarray) -> None:
    """Appends outliers that are all stored exactly; slot, true: as in put()."""
    for _ in _DIRECTIONS if promise.mode.half else ():
        _put_slots(out, slot[:0])
    _put_slots(out, slot)
    if len(slot):
        put_array(out, true)


@dataclass(frozen=True, kw_only=True)
class ChunkOutliers:
    """The outliers of a chunk.

    leaves: (B,) int64, the chunk's, ascending.
    slots: (n,) int64 of each component, leaf of the chunk * LEAF_SLOTS + voxel, ascending.
    payload: their bytes.
    """

    leaves: np.ndarray
    slots: Sequence[np.ndarray]
    payload: bytes

    def with_exact(self, voxels: Voxels, promise: Promise, leaf: LeafLevel, values: np.ndarray) -> ChunkOutliers:
        """The same, all stored exactly, with those of some voxels that lie in the chunk; the same where none does.

        leaf: scalar leaves with the true values. values: (N, 512, 1), which get them.
        """
        number = np.searchsorted(self.leaves, voxels.leaf)
        inside_chunk = np.append(self.leaves, -1)[number] == voxels.leaf
        if not inside_chunk.any():
            return self
        slots = np.sort(np.concatenate([self.slots[0], number[inside_chunk] * LEAF_SLOTS + voxels.voxel[inside_chunk]]))
        slots = slots[np.diff(slots, prepend=-1) > 0]
        at = self.leaves[slots // LEAF_SLOTS], slots % LEAF_SLOTS
        out, true = FieldWriter(), leaf.values.reshape(-1, LEAF_SLOTS)[at]
        put_exact(out, promise, slots, true)
        values[(*at, 0)] = true
        return ChunkOutliers(leaves=self.leaves, slots=[slots], payload=out.getvalue())


def take(source: FieldReader, promise: Promise, active: np.ndarray, dtype: np.dtype) -> Outliers:
    """The outliers of a component; active: (voxels,) bool, where there may be some. Raises DamagedFile."""
    moved = [_take_slots(source, active) for _ in (_DIRECTIONS if promise.mode.half else ())]
    stored = _take_slots(source, active)
    exact = take_array(source, dtype, len(stored)) if len(stored) else np.zeros(0, dtype)
    up, down = (len(slots) for slots in moved) if moved else (0, 0)
    leaf, voxel = np.divmod(np.concatenate([*moved, stored]), LEAF_SLOTS)
    return Outliers(leaf=leaf, voxel=voxel, up=up, down=down, exact=exact)


def apply_outliers(values: np.ndarray, leaves: np.ndarray, outliers: Sequence[Outliers]) -> None:
    """Puts the outliers of each component of a chunk into `values` (N, 512, C); leaves: (B,) int64, the chunk's."""
    for index, exact in placed(values.__getitem__, leaves, outliers):
        values[index] = exact


def placed(
    decoded_at: Callable[[Index], np.ndarray], leaves: np.ndarray, outliers: Sequence[Outliers]
) -> Iterator[tuple[Index, np.ndarray]]:
    """Where in an array (N, 512, C) the outliers of each component of a chunk stand, and what stands there.

    decoded_at: what the lattice makes of the values there.
    leaves: (B,) int64, the chunk's.
    """
    for component, missed in enumerate(outliers):
        index = leaves[missed.leaf], missed.voxel, component
        yield index, missed.values(decoded_at(index))


def _next_half(values: np.ndarray, direction: float) -> np.ndarray:
    """The next halves, upwards or downwards, of values that are halves."""
    with np.errstate(over="ignore"):
        return np.nextafter(values.astype(np.float16), np.float16(direction)).astype(values.dtype)


def _put_slots(out: FieldWriter, slot: np.ndarray) -> None:
    out.put_varint(len(slot))
    if len(slot):
        put_array(out, np.diff(slot, prepend=0).astype(np.uint64))


def _take_slots(source: FieldReader, active: np.ndarray) -> np.ndarray:
    """(n,) int64, ascending."""
    count = source.take_varint()
    if count > len(active):
        raise source.damaged(f"{count} exceptions among {len(active)} voxels")
    if not count:
        return np.zeros(0, np.int64)
    steps = take_array(source, np.dtype("<u8"), count)
    if (steps < len(active)).all() and (steps[1:] > 0).all():  # so that no sum wraps around
        slot: np.ndarray = np.cumsum(steps).astype(np.int64)
        if slot[-1] < len(active) and active[slot].all():
            return slot
    raise source.damaged("an exception stands where no active voxel is")
