"""The bricks of a tree at given places, whether a leaf is there, a tile or nothing."""

from __future__ import annotations

import numpy as np

from neuralvdb.volume.grid import (
    LEAF_SLOTS,
    LOWER_LOG2,
    UPPER_LOG2,
    InnerLevel,
    Tree,
    leaf_origins,
    lower_origins,
    unpack,
)

_NODES = 64  # looked at together
_FEW = 2000  # comparisons that take less time than distinct(), where an origin counts as 200 more


def bricks_at(tree: Tree, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (M, 512, C) and active (M, 512) bool of the 8x8x8 bricks at `origins` (M, 3) int32, in voxels.

    Where a tile covers the brick all its voxels are the tile; outside of the tree they are the background.
    """
    constants, on = constants_at(tree, origins, lower_origins(tree))
    values = np.repeat(constants[:, None], LEAF_SLOTS, axis=1)
    active = np.repeat(on[:, None], LEAF_SLOTS, axis=1)
    at = find(leaf_origins(tree), origins)
    is_leaf = at >= 0
    values[is_leaf] = tree.leaf.values[at[is_leaf]].reshape(int(is_leaf.sum()), *values.shape[1:])
    active[is_leaf] = unpack(tree.leaf.active[at[is_leaf]])
    return values, active


def constants_at(tree: Tree, origins: np.ndarray, lowers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (M, C) and active (M,) bool of the tiles that cover the bricks at `origins` (M, 3) int32.

    lowers: (L, 3) int32, origins of the lower nodes. Outside of the tree they are the background's; where a leaf is,
    they are meaningless.
    """
    background = np.atleast_1d(tree.root.background)
    values = np.repeat(background[None], len(origins), axis=0)
    active = np.zeros(len(origins), bool)
    at = find(tree.root.tile_origins, origins // 4096 * 4096)
    is_tile = at >= 0
    values[is_tile] = tree.root.tile_values[at[is_tile]].reshape(int(is_tile.sum()), len(background))
    active[is_tile] = tree.root.tile_active[at[is_tile]] != 0
    for level, at, slot in (
        (tree.upper, find(tree.root.child_origins, origins // 4096 * 4096), _slot(origins % 4096 // 128, UPPER_LOG2)),
        (tree.lower, find(lowers, origins // 128 * 128), _slot(origins % 128 // 8, LOWER_LOG2)),
    ):
        _fill_tiles(values, active, level, at, slot)
    return values, active


def has_tiles(tree: Tree) -> bool:
    """Whether anything but inactive background, by its bits, is where no leaf is."""
    if len(tree.root.tile_origins):
        return True
    background = np.atleast_1d(tree.root.background)
    bits = f"u{background.itemsize}"
    for level in (tree.upper, tree.lower):
        values = level.values.reshape(len(level), -1, len(background)).view(bits)
        for first in range(0, len(level), _NODES):
            nodes = slice(first, first + _NODES)
            if level.active[nodes].any():
                return True
            differs = (values[nodes] != background.view(bits)).any(2)
            if differs.any() and (differs & ~unpack(level.child[nodes])).any():
                return True
    return False


def find(among: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index in `among` (K, 3) int32, without repeats, of each of `wanted` (M, 3), -1 where it is not there."""
    if len(among) * (len(wanted) + 200) <= _FEW:
        among_few = np.full(len(wanted), -1)
        for at, origin in enumerate(among):
            among_few[(wanted == origin).all(1)] = at
        return among_few
    first, number = distinct(np.concatenate([among, wanted]))
    index = np.full(len(first), -1)
    index[number[: len(among)]] = np.arange(len(among))
    positions: np.ndarray = index[number[len(among) :]]
    return positions


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of K rows that are all there are in `rows` (n, m) of integers, and which of them each row is (n,)."""
    key, bound = np.zeros(len(rows), np.int64), 1
    for column in rows.T if len(rows) else ():
        span = int(column.max()) - int(column.min()) + 1
        if span > 1 << 31:
            column = ranked(column)[1]
            span = len(rows)
        if bound * span > 1 << 62:
            key = ranked(key)[1]
            bound = len(rows)
        key = key * span + (column - column.min()).astype(np.int64)
        bound *= span
    other = np.flatnonzero(key != key[:1])  # most rows are the first one again, as a rule
    first, number_of_other = ranked(key[other])
    number = np.zeros(len(rows), np.int64)
    number[other] = number_of_other + 1
    return np.concatenate([np.arange(len(rows))[:1], other[first]]), number


def ranked(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of K different keys first occurs among keys (n,), in the keys' order, and which of them each is (n,).

    As np.unique() gives it, which would load numpy.ma.
    """
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = in_order[1:] != in_order[:-1]
    number = np.empty(len(keys), np.int64)
    number[order] = np.cumsum(is_first) - 1
    return order[is_first], number


def _slot(steps: np.ndarray, log2dim: int) -> np.ndarray:
    slots: np.ndarray = (steps[:, 0] << 2 * log2dim) + (steps[:, 1] << log2dim) + steps[:, 2]
    return slots


def _fill_tiles(values: np.ndarray, active: np.ndarray, level: InnerLevel, at: np.ndarray, slot: np.ndarray) -> None:
    brick = np.nonzero(at >= 0)[0]
    node, n = at[brick], slot[brick]
    bit = np.uint8(1) << (n % 8).astype(np.uint8)
    is_tile = level.child[node, n // 8] & bit == 0
    brick, node, n, bit = brick[is_tile], node[is_tile], n[is_tile], bit[is_tile]
    values[brick] = level.values[node, n].reshape(len(n), values.shape[1])
    active[brick] = level.active[node, n // 8] & bit != 0
