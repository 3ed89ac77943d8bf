"""Active values that lattices miss: moved to the next half where values are saved as that and this is enough, else
stored (layout in archive/SPEC.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import LEAF_SLOTS

_WAYS = (np.inf, -np.inf)


@dataclass(frozen=True)
class Outliers:
    """Those of a component of a domain. leaf, voxel: (n,) int64, where they are; up, down: how many of them, first,
    are moved upwards, and then downwards; exact: what the others are."""

    leaf: np.ndarray
    voxel: np.ndarray
    up: int
    down: int
    exact: np.ndarray

    def values(self, decoded: np.ndarray) -> np.ndarray:
        """(n,) values in place of those decoded."""
        moved = np.cumsum([self.up, self.down])
        parts = [_moved(some, way) for some, way in zip(np.split(decoded, moved), _WAYS, strict=False)]
        return np.concatenate([*parts, self.exact])


def put(out: FieldWriter, promise: Promise, place: np.ndarray, true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Appends exceptions: at `place` (n,) int64, in order, values are to be `true` (n,) and decode to others. Gives
    (n,) what they will be."""
    found, left = true.copy(), np.ones(len(place), bool)
    for way in _WAYS if promise.mode.half else ():
        moved = _moved(decoded, way)
        enough = left & promise.kept(true, moved)
        _put_places(out, place[enough])
        found[enough] = moved[enough]
        left &= ~enough
    _put_places(out, place[left])
    if left.any():
        put_array(out, true[left])
    return found


def take(source: FieldReader, promise: Promise, on: np.ndarray, dtype: np.dtype) -> Outliers:
    """The exceptions of a component; on: (voxels,) bool, where there may be some. Raises DamagedFile."""
    moved = [_take_places(source, on) for _ in (_WAYS if promise.mode.half else ())]
    others = _take_places(source, on)
    exact = take_array(source, dtype, len(others)) if len(others) else np.zeros(0, dtype)
    up, down = (len(places) for places in moved) if moved else (0, 0)
    return Outliers(*np.divmod(np.concatenate([*moved, others]), LEAF_SLOTS), up, down, exact)


def _moved(values: np.ndarray, way: float) -> np.ndarray:
    """The next halves of values that are halves, upwards or downwards."""
    with np.errstate(over="ignore"):
        return np.nextafter(values.astype(np.float16), np.float16(way)).astype(values.dtype)


def _put_places(out: FieldWriter, place: np.ndarray) -> None:
    out.put_varint(len(place))
    if len(place):
        put_array(out, np.diff(place, prepend=0).astype(np.uint64))


def _take_places(source: FieldReader, on: np.ndarray) -> np.ndarray:
    count = source.take_varint()
    if count > len(on):
        raise source.damaged(f"{count} exceptions among {len(on)} voxels")
    if not count:
        return np.zeros(0, np.int64)
    place = np.cumsum(take_array(source, np.dtype("<u8"), count)).astype(np.int64)
    if place[-1] >= len(on) or (np.diff(place, prepend=-1) <= 0).any() or not on[place].all():
        raise source.damaged("an exception stands where no active voxel is")
    return place
