"""The leaves of a grid cut into chunks that are coded independently, each a box of bricks for lattice.levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuralvdb.values.lattice.compand import compand, expand
from neuralvdb.values.lattice.constants import EDGE, LIMIT, SLOTS
from neuralvdb.values.lattice.points import Points
from neuralvdb.volume.grid import LOWER_LOG2, Tree, leaf_origins, lower_origins, unpack
from neuralvdb.volume.lookup import constants_at, distinct, find

LEAVES = 16384  # of a chunk, at most, unless it is one block
_BLOCK = 128  # chunks are cut on the lines of lower nodes,
SPARSE = 8  # until one in so many blocks of their box holds leaves


@dataclass
class Chunk:
    """One chunk.

    leaves: (B,) int64, indices in the tree, in its order
    low: (3,) int64, first brick of the box, multiples of 16
    table: (X, Y, Z) int32, row of each brick of the box, leaves first
    constants: (K, C) values of the other rows
    constants_active: (K,) bool
    """

    leaves: np.ndarray
    low: np.ndarray
    table: np.ndarray
    constants: np.ndarray
    constants_active: np.ndarray


@dataclass(frozen=True)
class LeafGroup:
    """The leaves of a chunk, (B,) int64, and the planes it was cut between: low and high (3,) int64, in voxels."""

    leaves: np.ndarray
    low: np.ndarray
    high: np.ndarray


def group_leaves(origins: np.ndarray) -> list[LeafGroup]:
    """Groups of leaves at `origins` (N, 3), in voxels, that become chunks.

    A group that is too large is cut across its longest edge, where the larger half has the fewest leaves.
    """
    far = np.full(3, 1 << 40)
    waiting = [LeafGroup(np.arange(len(origins)), -far, far)] if len(origins) else []
    groups, blocks = [], origins.astype(np.int64) // _BLOCK
    while waiting:
        group = waiting.pop()
        block = blocks[group.leaves]
        edges = np.ptp(block, axis=0) + 1
        if edges.max() == 1 or _fits(block, edges):
            groups.append(group)
            continue
        axis = int(edges.argmax())
        along = block[:, axis] - block[:, axis].min()
        before = np.cumsum(np.bincount(along))[:-1]
        cut = int(np.maximum(before, len(along) - before).argmin())
        plane = (block[:, axis].min() + cut + 1) * _BLOCK
        low, high = group.low.copy(), group.high.copy()
        low[axis] = high[axis] = plane
        waiting.append(LeafGroup(group.leaves[along > cut], low, group.high))
        waiting.append(LeafGroup(group.leaves[along <= cut], group.low, high))
    return groups


def _fits(blocks: np.ndarray, edges: np.ndarray) -> bool:
    """Whether leaves in blocks (B, 3) may be one chunk, a box of `edges` blocks."""
    return len(blocks) <= LEAVES and bool(np.prod(edges, dtype=float) <= SPARSE * len(distinct(blocks)[0]))


def chunks_of(tree: Tree, groups: list[LeafGroup] | None = None) -> Iterator[Chunk]:
    """The chunks of a tree, or those of some groups of its leaves, in order."""
    origins = leaf_origins(tree).astype(np.int64)
    lowers = lower_origins(tree)
    for group in group_leaves(origins) if groups is None else groups:
        yield _chunk(tree, group, origins[group.leaves], lowers)


def sample_chunk(tree: Tree, most: int) -> Chunk:
    """A chunk of the middle leaves, at most `most`, of the lower node that has the most of them."""
    origins = leaf_origins(tree).astype(np.int64)
    nodes = origins // _BLOCK
    _, number = distinct(nodes)
    leaves = np.nonzero(number == np.bincount(number).argmax())[0]
    leaves = leaves[max(0, (len(leaves) - most) // 2) :][:most]
    corner = nodes[leaves[0]] * _BLOCK
    lowers = lower_origins(tree)
    return _chunk(tree, LeafGroup(leaves, corner, corner + _BLOCK), origins[leaves], lowers)


def _chunk(tree: Tree, group: LeafGroup, origins: np.ndarray, lowers: np.ndarray) -> Chunk:
    """The box reaches at least a brick beyond the leaves but not beyond a cut, and keeps to lower nodes' lines."""
    low = np.maximum((origins.min(0) - EDGE) // _BLOCK * _BLOCK, group.low)
    high = np.minimum(-(-(origins.max(0) + 2 * EDGE) // _BLOCK) * _BLOCK, group.high)
    shape = (high - low) // _BLOCK
    blocks = np.stack(np.unravel_index(np.arange(shape.prod()), shape), 1) * _BLOCK + low
    table, constants, active = _constants(tree, blocks.astype(np.int32), lowers)
    per_block = _BLOCK // EDGE
    table = table.reshape(*shape, *[per_block] * 3).transpose(0, 3, 1, 4, 2, 5).reshape(shape * per_block)
    table = (table + len(origins)).astype(np.int32)
    table[tuple(((origins - low) // EDGE).T)] = np.arange(len(origins))
    return Chunk(group.leaves, low // EDGE, table, constants, active)


def _constants(tree: Tree, blocks: np.ndarray, lowers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which constant (M, 4096) each brick of `blocks` (M, 3) has; the constants (K, C) and whether active (K,) bool.

    lowers: (L, 3) origins of the lower nodes. Where a leaf is, the constant means nothing.
    """
    at = find(lowers, blocks)
    nodes = at[at >= 0]
    values, active = constants_at(tree, blocks, lowers)
    values = np.concatenate([values, tree.lower.values[nodes].reshape(-1, values.shape[1])])
    active = np.concatenate([active, unpack(tree.lower.active[nodes]).reshape(-1)])
    bits = values.view(f"u{values.itemsize}")
    first, number = distinct(np.concatenate([bits, active[:, None]], axis=1))
    table = np.repeat(number[: len(blocks), None], 1 << 3 * LOWER_LOG2, axis=1)
    table[at >= 0] = number[len(blocks) :].reshape(-1, table.shape[1])
    return table, values[first], active[first]


@dataclass(frozen=True)
class Quantiser:
    """How values become lattice values: divided by the unit (the grid's values), then companded.

    unit: of lattice values, in the grid's values
    knee: where companding begins, in lattice units; 0 for no companding
    nonnegative: mean lattice: no value is below 0
    active_only: sample lattice: predictors see active points only
    """

    unit: float
    knee: int = 0
    nonnegative: bool = False
    active_only: bool = False

    def exact(self, values: np.ndarray) -> np.ndarray:
        """float64 lattice values, not rounded."""
        return compand(values.astype(np.float64) / self.unit, self.knee)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """int32 lattice values, clamped to plus or minus LIMIT; NaN becomes 0."""
        with np.errstate(invalid="ignore", over="ignore"):
            whole = np.rint(self.exact(values))
        return np.nan_to_num(np.clip(whole, -LIMIT, LIMIT), nan=0.0).astype(np.int32)

    def values(self, lattice: np.ndarray) -> np.ndarray:
        """float64 values of lattice values."""
        return expand(lattice, self.knee) * self.unit


@dataclass(frozen=True)
class ChunkComponent:
    """One component of a chunk of a tree. leaf_values: (N, 512) of all leaves of the tree; leaf_active: (N, 64) uint8,
    bits."""

    chunk: Chunk
    component: int
    leaf_values: np.ndarray
    leaf_active: np.ndarray

    @classmethod
    def of(cls, tree: Tree, chunk: Chunk, component: int) -> ChunkComponent:
        """A component of a chunk of a tree."""
        values = tree.leaf.values.reshape(len(tree.leaf), SLOTS, -1)[:, :, component]
        return cls(chunk, component, values, tree.leaf.active)

    def __len__(self) -> int:
        """How many leaves the chunk has."""
        return len(self.chunk.leaves)

    @property
    def low(self) -> np.ndarray:
        """(3,) int64: first brick of the box."""
        return self.chunk.low

    @property
    def table(self) -> np.ndarray:
        """(X, Y, Z) int32: row of each brick of the box, leaves first."""
        return self.chunk.table

    @property
    def constants(self) -> np.ndarray:
        """(K,) values of rows that are no leaves."""
        return self.chunk.constants[:, self.component]

    @property
    def constants_active(self) -> np.ndarray:
        """(K,) bool."""
        return self.chunk.constants_active

    def active(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, 512) bool: the active voxels of some leaves."""
        return unpack(self.leaf_active[self.chunk.leaves[rows]])

    def rows(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, 512) values of some leaves."""
        return self.leaf_values[self.chunk.leaves[rows]]

    def points(self, points: Points) -> np.ndarray:
        """(n,) values of some voxels."""
        return self.leaf_values[self.chunk.leaves[points.brick], points.offset]
