"""The leaves of a grid cut into domains that know nothing of each other, each a box of bricks for lattice.levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuralvdb.values.lattice.compand import compand, expand
from neuralvdb.values.lattice.levels import EDGE, LIMIT
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, Tree, child_origins, leaf_origins, unpack
from neuralvdb.volume.lookup import constants_at, distinct, find

LEAVES = 16384  # of a domain, at most, unless it is one block
_BLOCK = 128  # domains are cut on the lines of lower nodes,
SPARSE = 8  # until one in so many blocks of their box holds leaves


@dataclass
class Chunk:
    """One domain. leaves: (B,) int64, indices in the tree, in its order; low: (3,) int64, first brick, multiples of 16;
    table: (X, Y, Z) int32, row of each cell, leaves first; constants: (K, C) values of the other rows;
    constants_active: (K,) bool."""

    leaves: np.ndarray
    low: np.ndarray
    table: np.ndarray
    constants: np.ndarray
    constants_active: np.ndarray


@dataclass(frozen=True)
class LeafGroup:
    """The leaves of a domain, (B,) int64, and between which planes it was cut: low and high (3,) int64, in voxels."""

    leaves: np.ndarray
    low: np.ndarray
    high: np.ndarray


def group_leaves(origins: np.ndarray) -> list[LeafGroup]:
    """How leaves at `origins` (N, 3), in voxels, are cut into domains: always across the longest edge, where the larger
    part has the fewest leaves."""
    far = np.full(3, 1 << 40)
    waiting = [LeafGroup(np.arange(len(origins)), -far, far)] if len(origins) else []
    found, blocks = [], origins.astype(np.int64) // _BLOCK
    while waiting:
        group = waiting.pop()
        place = blocks[group.leaves]
        edges = np.ptp(place, axis=0) + 1
        if edges.max() == 1 or _fits(place, edges):
            found.append(group)
            continue
        axis = int(edges.argmax())
        along = place[:, axis] - place[:, axis].min()
        before = np.cumsum(np.bincount(along))[:-1]
        cut = int(np.maximum(before, len(along) - before).argmin())
        plane = (place[:, axis].min() + cut + 1) * _BLOCK
        low, high = group.low.copy(), group.high.copy()
        low[axis] = high[axis] = plane
        waiting.append(LeafGroup(group.leaves[along > cut], low, group.high))
        waiting.append(LeafGroup(group.leaves[along <= cut], group.low, high))
    return found


def _fits(place: np.ndarray, edges: np.ndarray) -> bool:
    """Whether leaves in blocks `place` (B, 3) may be one domain, a box of `edges` blocks."""
    return len(place) <= LEAVES and np.prod(edges, dtype=float) <= SPARSE * len(distinct(place)[0])


def chunks_of(tree: Tree, of: list[LeafGroup] | None = None) -> Iterator[Chunk]:
    """The domains of a tree, or those of some groups of its leaves, in order."""
    origins = leaf_origins(tree).astype(np.int64)
    lowers = child_origins(tree.root.child_origins, tree.upper.child, UPPER_LOG2, _BLOCK)
    for group in group_leaves(origins) if of is None else of:
        yield _domain(tree, group, origins[group.leaves], lowers)


def sample_chunk(tree: Tree, most: int) -> Chunk:
    """The middle leaves, at most `most`, of the lower node that has the most of them."""
    origins = leaf_origins(tree).astype(np.int64)
    nodes = origins // _BLOCK
    _, number = distinct(nodes)
    leaves = np.nonzero(number == np.bincount(number).argmax())[0]
    leaves = leaves[max(0, (len(leaves) - most) // 2) :][:most]
    corner = nodes[leaves[0]] * _BLOCK
    lowers = child_origins(tree.root.child_origins, tree.upper.child, UPPER_LOG2, _BLOCK)
    return _domain(tree, LeafGroup(leaves, corner, corner + _BLOCK), origins[leaves], lowers)


def _domain(tree: Tree, group: LeafGroup, origins: np.ndarray, lowers: np.ndarray) -> Chunk:
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
    values, active = constants_at(tree, blocks)
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

    positive: nothing is below 0, which the mean lattice then keeps to; inside: predictors of the sample lattice look at
    active points only.
    """

    unit: float
    knee: int = 0
    positive: bool = False
    inside: bool = False

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
class Leaves:
    """One component of the leaves of a domain."""

    values: np.ndarray  # (N, 512) of all leaves of the tree
    active: np.ndarray  # (N, 64) uint8
    numbers: np.ndarray  # (B,) int64: those of the domain
    constants: np.ndarray  # (K,)
    constants_active: np.ndarray  # (K,) bool

    @classmethod
    def of(cls, tree: Tree, domain: Chunk, component: int) -> Leaves:
        """Those of a domain of a tree."""
        values = tree.leaf.values.reshape(len(tree.leaf), EDGE**3, -1)[:, :, component]
        constants = domain.constants[:, component]
        return cls(values, tree.leaf.active, domain.leaves, constants, domain.constants_active)

    def __len__(self) -> int:
        return len(self.numbers)

    def on(self, rows: slice | np.ndarray) -> np.ndarray:
        """Active (n, 512) bool of some of them."""
        return unpack(self.active[self.numbers[rows]])

    def rows(self, rows: slice | np.ndarray) -> np.ndarray:
        """Values (n, 512) of some of them."""
        return self.values[self.numbers[rows]]

    def points(self, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Values (n,) of some of their voxels."""
        return self.values[self.numbers[row], place]
