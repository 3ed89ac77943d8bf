"""The leaves of a grid cut into chunks that are coded independently, each a box of bricks for lattice.levels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.topology.chunks import BLOCK, FAR, LeafGroup, cube_begins, value_groups
from neuralvdb.values.lattice.compand import compand, expand
from neuralvdb.values.lattice.constants import EDGE, LIMIT, SLOTS
from neuralvdb.values.lattice.points import Points
from neuralvdb.volume.grid import LOWER_LOG2, Tree, leaf_origins, lower_origins, unpack
from neuralvdb.volume.lookup import constants_at, distinct, find, has_tiles

_BLOCK_BRICKS = BLOCK // EDGE
_AT_ONCE, _MANY = 4, 1 << 14  # chunks side by side, and leaves for each of them


@dataclass
class Chunk:
    """One chunk.

    leaves: (B,) int64, indices in the tree, in its order
    cells: (B, 3) int64, their bricks in the box
    low: (3,) int64, first brick of the box, multiples of 16; 0 where it is made of cubes
    table: (X, Y, Z) int32, row of each brick of the box, leaves first
    constants: (K, C) values of the other rows
    constants_active: (K,) bool
    """

    leaves: np.ndarray
    cells: np.ndarray
    low: np.ndarray
    table: np.ndarray
    constants: np.ndarray
    constants_active: np.ndarray


@dataclass(frozen=True)
class ChunkThreads:
    """How threads work on the chunks of a grid. at_once: chunks. each: threads of one of these."""

    at_once: int
    each: int

    @classmethod
    def of(cls, leaves: int, threads: int) -> ChunkThreads:
        """For a grid of so many leaves: several chunks where there are many, so that one thread alone does little; else
        one, which takes less memory."""
        at_once = max(1, min(threads, leaves // _MANY, _AT_ONCE))
        return cls(at_once, -(-threads // at_once))


def chunks_of(tree: Tree, groups: list[LeafGroup] | None = None) -> Iterator[Chunk]:
    """The chunks of a tree, as its values are encoded, or those of some groups of its leaves, in order."""
    origins = leaf_origins(tree).astype(np.int64)
    whole = _Whole.of(tree)
    for group in value_groups(origins) if groups is None else groups:
        yield _chunk(whole, group, origins[group.leaves])


def sample_chunk(tree: Tree, most: int) -> Chunk:
    """A chunk of the middle leaves, at most `most`, of the lower node that has the most of them."""
    origins = leaf_origins(tree).astype(np.int64)
    nodes = origins // BLOCK
    _, number = distinct(nodes)
    leaves = np.nonzero(number == np.bincount(number).argmax())[0]
    leaves = leaves[max(0, (len(leaves) - most) // 2) :][:most]
    corner = nodes[leaves[:1]] * BLOCK
    box = np.zeros(len(leaves), np.int64)
    group = LeafGroup(leaves, box, corner, corner + BLOCK, edge=0)
    return _chunk(_Whole.of(tree), group, origins[leaves])


@dataclass(frozen=True)
class _Whole:
    """The tree that chunks are of. has_tiles: whether anything but inactive background is where no leaf is."""

    tree: Tree
    has_tiles: bool

    @classmethod
    def of(cls, tree: Tree) -> _Whole:
        """Looks at all nodes."""
        return cls(tree, has_tiles(tree))


def _chunk(whole: _Whole, group: LeafGroup, origins: np.ndarray) -> Chunk:
    """The chunk of a group of leaves at `origins` (B, 3) int64."""
    return _chunk_of_cubes(whole, group, origins) if group.edge else _chunk_of_box(whole, group, origins)


def _chunk_of_box(whole: _Whole, group: LeafGroup, origins: np.ndarray) -> Chunk:
    """The box reaches at least a brick beyond the leaves but not beyond a cut, and keeps to lower nodes' lines."""
    low = np.maximum((origins.min(0) - EDGE) // BLOCK * BLOCK, group.low[0])
    high = np.minimum(-(-(origins.max(0) + 2 * EDGE) // BLOCK) * BLOCK, group.high[0])
    shape = (high - low) // BLOCK
    blocks = np.stack(np.unravel_index(np.arange(shape.prod()), shape), 1) * BLOCK + low
    table, constants, active = _constants(whole, blocks.astype(np.int32))
    table = table.reshape(*shape, *[_BLOCK_BRICKS] * 3).transpose(0, 3, 1, 4, 2, 5).reshape(shape * _BLOCK_BRICKS)
    cells = (origins - low) // EDGE
    table = _with_leaves(table, cells)
    return Chunk(group.leaves, cells, low // EDGE, table, constants, active)


def _chunk_of_cubes(whole: _Whole, group: LeafGroup, origins: np.ndarray) -> Chunk:
    """Each box in a cube of its own; cubes fill block after block along x, in each of them z first."""
    first = np.full(group.low.shape, FAR)
    np.minimum.at(first, group.box, origins)
    begins, per_block = cube_begins(first, group.low), _BLOCK_BRICKS // group.edge
    block, within = np.divmod(np.arange(len(begins)), per_block**3)
    corners = _coords(within, per_block) * group.edge
    corners[:, 0] += block * _BLOCK_BRICKS
    table = np.zeros(((int(block[-1]) + 1) * _BLOCK_BRICKS, _BLOCK_BRICKS, _BLOCK_BRICKS), np.int32)
    constants, active = _background(whole.tree)
    if whole.has_tiles:
        steps = _coords(np.arange(group.edge**3), group.edge)
        number, constants, active = _cube_constants(whole.tree, group, begins[:, None] + steps * EDGE)
        table[:] = number[-1]
        table[tuple((corners[:, None] + steps).reshape(-1, 3).T)] = number[:-1]
    cells = corners[group.box] + (origins - begins[group.box]) // EDGE
    table = _with_leaves(table, cells)
    return Chunk(group.leaves, cells, np.zeros(3, np.int64), table, constants, active)


def _background(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """The background (1, C), and that it is not active, (1,) bool."""
    return np.atleast_1d(tree.root.background)[None], np.zeros(1, bool)


def _cube_constants(tree: Tree, group: LeafGroup, bricks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which constant each brick of cubes is, at `bricks` (K, M, 3), and then inactive background, (K M + 1,); the
    constants (C, components) and whether active. Beyond cuts and numbers of 32 bits is inactive background, too."""
    high = np.minimum(group.high, 1 << 31)[:, None]
    outside = ((bricks >= high) | (bricks < -(1 << 31))).any(2).reshape(-1)
    origins = np.where(outside[:, None], 0, bricks.reshape(-1, 3)).astype(np.int32)
    values, active = constants_at(tree, origins, lower_origins(tree))
    background, inactive = _background(tree)
    values[outside], active[outside] = background, inactive
    return _distinct(np.concatenate([values, background]), np.append(active, inactive))


def _coords(index: np.ndarray, edge: int) -> np.ndarray:
    """(n, 3): what stands at `index` (n,) in a cube, z fastest."""
    return np.stack(np.unravel_index(index, (edge,) * 3), 1)


def _with_leaves(constants: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """A table of constants with rows of leaves put in at `cells` (B, 3), before those of the constants."""
    table: np.ndarray = np.add(constants, len(cells), dtype=np.int32, casting="unsafe")
    table[tuple(cells.T)] = np.arange(len(cells))
    return table


def _constants(whole: _Whole, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which constant (M, 4096) each brick of `blocks` (M, 3) has; the constants (K, C) and whether active (K,) bool.

    Where a leaf is, the constant means nothing.
    """
    tree = whole.tree
    if not whole.has_tiles:
        return np.zeros((len(blocks), 1 << 3 * LOWER_LOG2), np.int32), *_background(tree)
    lowers = lower_origins(tree)
    at = find(lowers, blocks)
    nodes = at[at >= 0]
    values, active = constants_at(tree, blocks, lowers)
    values = np.concatenate([values, tree.lower.values[nodes].reshape(-1, values.shape[1])])
    active = np.concatenate([active, unpack(tree.lower.active[nodes]).reshape(-1)])
    number, constants, constants_active = _distinct(values, active)
    table = np.repeat(number[: len(blocks), None], 1 << 3 * LOWER_LOG2, axis=1)
    table[at >= 0] = number[len(blocks) :].reshape(-1, table.shape[1])
    return table, constants, constants_active


def _distinct(values: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which constant (M,) each of values (M, C) and active (M,) is; constants (K, C) and whether active (K,) bool."""
    bits = values.view(f"u{values.itemsize}")
    first, number = distinct(np.concatenate([bits, active[:, None]], axis=1))
    return number, values[first], active[first]


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
