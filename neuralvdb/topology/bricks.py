"""Masks as bricks of 8x8x8 cells, and the states of their octree.

Letters: B bricks, k a level (0 to 3), n = 8 >> k its cells per axis in a brick. A state is -1 where no bit below is
set, 1 where all are, 0 where it is mixed or not known yet. States of a level are (B + 2, n^3) int8, z fastest; the last
two rows stand for everything outside of the bricks that is empty, and full. Bits are voxels, or slots of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuralvdb.topology import _topology
from neuralvdb.volume.lookup import find

LEVELS = 4
EMPTY, FULL = 0, 1  # rows after the bricks
_AROUND = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(27, 3)


class Find(Protocol):
    """Finds rows in others, as volume.lookup.find() does."""

    def __call__(self, among: np.ndarray, wanted: np.ndarray, /) -> np.ndarray:
        """Index in `among` (K, 3) int32 of each of `wanted` (M, 3), -1 where it is not there."""


class IsFull(Protocol):
    """Tells which space without bricks is full."""

    def __call__(self, coords: np.ndarray, /) -> np.ndarray:
        """(M,) bool: whether the space at coords (M, 3), in bricks, is full."""


FINDS: dict[str, Find] = {"reference": find, "native": _topology.find}


@dataclass(frozen=True)
class Neighbours:
    """Which bricks are next to each other. coords: (B, 3) int32, in bricks; near: (B, 27) int32, indices of the bricks
    around, x first."""

    coords: np.ndarray
    near: np.ndarray


def find_neighbours(coords: np.ndarray, is_full: IsFull | None, find: Find) -> Neighbours:
    """The neighbours of bricks at `coords` (B, 3) int32, without repeats; without `is_full` no other space is full."""
    wanted = (coords[:, None].astype(np.int64) + _AROUND).reshape(-1, 3).astype(np.int32)
    rows = find(coords, wanted)
    missing = rows < 0
    rows[missing] = len(coords) + EMPTY
    if is_full is not None:
        rows[missing] += is_full(wanted[missing]) * (FULL - EMPTY)
    return Neighbours(coords, rows.reshape(-1, 27).astype(np.int32))


def to_bricks(masks: np.ndarray) -> np.ndarray:
    """(nodes * S / 512, 64) uint8 of masks (nodes, S / 8) uint8 of cubes of 8, 16 or 32 cells; a byte is 8 in a row."""
    b = round((masks.shape[1] // 64) ** (1 / 3))
    blocks = masks.reshape(-1, b, 8, b, 8, b).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(blocks).reshape(-1, 64)


def from_bricks(bricks: np.ndarray, edge: int) -> np.ndarray:
    """The masks (nodes, edge^3 / 8) that to_bricks() cut."""
    b = edge // 8
    masks = bricks.reshape(-1, b, b, b, 8, 8).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(masks).reshape(-1, edge**3 // 8)


def brick_coords(origins: np.ndarray, edge: int, cell: int) -> np.ndarray:
    """Coordinates (B, 3) int32 of the bricks of nodes at `origins` (voxels) with edge^3 cells of `cell` voxels each."""
    b = edge // 8
    steps = np.stack(np.meshgrid(*[np.arange(b)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return ((origins[:, None] // (8 * cell)) + steps).reshape(-1, 3).astype(np.int32)


def pyramid(mask: np.ndarray, ignored: np.ndarray | None = None) -> list[np.ndarray]:
    """States of levels 0 to 3 of a mask (B, 512) bool. Bits that are `ignored` count for neither; a cell without
    others is 0."""
    ends = np.array([[False], [True]])
    any_set: np.ndarray = np.concatenate([mask, np.broadcast_to(ends, (2, 512))])
    all_set: np.ndarray = (
        any_set if ignored is None else np.concatenate([mask | ignored, np.broadcast_to(ends, (2, 512))])
    )
    levels = []
    for k in range(LEVELS):
        n = 8 >> k
        if k:
            any_set = np.logical_or.reduce(any_set.reshape(-1, n, 2, n, 2, n, 2), axis=(2, 4, 6))
            all_set = np.logical_and.reduce(all_set.reshape(-1, n, 2, n, 2, n, 2), axis=(2, 4, 6))
        any_set, all_set = any_set.reshape(len(any_set), -1), all_set.reshape(len(all_set), -1)
        states = any_set.astype(np.int8) + all_set.astype(np.int8) - np.int8(1)
        levels.append(np.where(all_set & ~any_set, np.int8(0), states))
    return levels


def upsample(states: np.ndarray) -> np.ndarray:
    """States of a level known from the one above: each cell becomes eight."""
    n = round(states.shape[1] ** (1 / 3))
    cells = states.reshape(-1, n, 1, n, 1, n, 1)
    return np.broadcast_to(cells, (len(states), n, 2, n, 2, n, 2)).reshape(len(states), -1).copy()
