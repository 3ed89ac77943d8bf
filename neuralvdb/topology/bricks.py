"""Masks as bricks of 8x8x8 cells, and the states of their octree.

Letters: B bricks, k a level (0 to 3), n = 8 >> k its cells per axis in a brick. A state is -1 where no bit below is
set, 1 where all are, 0 where it is mixed or not known yet. States of a level are (B + 3, n^3) int8, z fastest; the last
three rows stand for everything outside of the bricks that is empty, full, or not known. Bits are voxels, or slots of
nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.topology import _topology
from neuralvdb.volume.lookup import find

LEVELS = 4
EMPTY, FULL, UNKNOWN = range(3)  # rows after the bricks
OUTSIDE = np.array([-1, 1, 0], np.int8)  # their states
_AROUND = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(27, 3)


class BrickIndex(Protocol):
    """Finds bricks by their coordinates."""

    def find(self, wanted: np.ndarray, /) -> np.ndarray:
        """Index of the brick at each of `wanted` (M, 3) int32, -1 where there is none."""

    def neighbours(self, bricks: np.ndarray, rows: np.ndarray, /) -> np.ndarray:
        """(B, 27) int32: `rows` (N,) int32 of the bricks around each of `bricks` (B,) int64, x first, -1 where there
        are none."""


class SlowIndex:
    """The definition of native/find.h. coords: (N, 3) int32, without repeats."""

    def __init__(self, coords: np.ndarray) -> None:
        self._coords = coords

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """As BrickIndex has it."""
        return find(self._coords, wanted)

    def neighbours(self, bricks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """As BrickIndex has it."""
        at = self.find(coords_around(self._coords[bricks]).reshape(-1, 3))
        return np.where(at < 0, -1, np.append(rows, -1)[at]).astype(np.int32).reshape(-1, 27)


class IsFull(Protocol):
    """Tells which space without bricks is full."""

    def __call__(self, coords: np.ndarray, /) -> np.ndarray:
        """(M,) bool: whether the space at coords (M, 3), in bricks, is full."""


MakeIndex = Callable[[np.ndarray], BrickIndex]
INDEXES: dict[str, MakeIndex] = {"reference": SlowIndex, "native": _topology.BrickIndex}


@dataclass(frozen=True)
class Bricks:
    """All bricks of a level. coords: (N, 3) int32, in bricks, without repeats."""

    coords: np.ndarray
    index: BrickIndex


@dataclass(frozen=True)
class Neighbours:
    """Which bricks are next to each other. coords: (B, 3) int32, in bricks; near: (B, 27) int32, indices of the bricks
    around, x first."""

    coords: np.ndarray
    near: np.ndarray


def coords_around(coords: np.ndarray) -> np.ndarray:
    """(B, 27, 3) int32: the places around coords (B, 3), x first."""
    return (coords[:, None].astype(np.int64) + _AROUND).astype(np.int32)


def find_neighbours(bricks: Bricks, numbers: np.ndarray, is_full: IsFull | None) -> Neighbours:
    """The neighbours of bricks number `numbers` (B,) int64, without repeats, among which other bricks are not known;
    without `is_full` no other space is full."""
    coords, rows = bricks.coords[numbers], np.full(len(bricks.coords), len(numbers) + UNKNOWN, np.int32)
    rows[numbers] = np.arange(len(numbers))
    near = bricks.index.neighbours(numbers, rows)
    missing = near < 0
    near[missing] = len(numbers) + EMPTY
    if is_full is not None:
        near[missing] += is_full(coords_around(coords)[missing]) * np.int32(FULL - EMPTY)
    return Neighbours(coords, near)


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
    any_of, all_of = (np.broadcast_to(OUTSIDE[:, None] >= least, (len(OUTSIDE), 512)) for least in (0, 1))
    any_set: np.ndarray = np.concatenate([mask, any_of])
    all_set: np.ndarray = np.concatenate([mask if ignored is None else mask | ignored, all_of])
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
