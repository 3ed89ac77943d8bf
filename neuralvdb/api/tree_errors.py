"""Errors between two trees: tile against tile where both have one, voxels only where one of them has a leaf.

Letters in shapes: M cubes, S slots of a node (1 of what lies in the root table), C components.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import ErrorSums
from neuralvdb.volume import Tree, TreeLevel
from neuralvdb.volume.grid import (
    LEAF_LOG2,
    LOWER_LOG2,
    UPPER_LOG2,
    InnerLevel,
    child_origins,
    leaf_origins,
    unpack,
)
from neuralvdb.volume.lookup import distinct, find

_BATCH = 1 << 19  # slots compared together
_ROOT_VOXELS = 1 << 3 * 12  # of a root tile


@dataclass(frozen=True)
class _Slots:
    """Slots of one tree. values: (..., C); active: (...) bool; child: (...) bool, where a node lies below."""

    values: np.ndarray
    active: np.ndarray
    child: np.ndarray

    def __getitem__(self, key: np.ndarray | slice) -> _Slots:
        return _Slots(self.values[key], self.active[key], self.child[key])


@dataclass(frozen=True)
class _Cubes:
    """Cubes of one size: origins (M, 3) int32 in voxels, and the slots (M) that cover them, of each tree."""

    origins: np.ndarray
    slots: tuple[_Slots, _Slots]

    def __getitem__(self, key: np.ndarray | slice) -> _Cubes:
        first, second = self.slots
        return _Cubes(self.origins[key], (first[key], second[key]))

    def __len__(self) -> int:
        return len(self.origins)


@dataclass(frozen=True)
class _Nodes:
    """The nodes of one level of one tree, and where they are (N, 3), in voxels."""

    level: TreeLevel
    origins: np.ndarray

    def slots_at(self, cubes: np.ndarray, covering: _Slots) -> _Slots:
        """Slots (M, S) of the nodes at cubes (M, 3); where there is none, the slot (M) that covers the cube."""
        count = self.level.values.shape[1]
        at = find(self.origins, cubes)
        is_node = at >= 0
        values, active = (np.repeat(of[:, None], count, axis=1) for of in (covering.values, covering.active))
        child = np.zeros(active.shape, bool)
        values[is_node] = self.level.values[at[is_node]].reshape(-1, *values.shape[1:])
        active[is_node] = unpack(self.level.active[at[is_node]])
        if isinstance(self.level, InnerLevel):
            child[is_node] = unpack(self.level.child[at[is_node]])
        return _Slots(values, active, child)


def errors_between(a: Tree, b: Tree) -> ErrorSums:
    """Errors over all voxels that are active in either tree."""
    sums = ErrorSums()
    cubes = _root_cubes(a, b, sums)
    for nodes, log2dim, edge in zip(
        zip(_nodes(a), _nodes(b), strict=True), (UPPER_LOG2, LOWER_LOG2, LEAF_LOG2), (128, 8, 1), strict=True
    ):
        count = max(1, _BATCH >> 3 * log2dim)
        batches = [cubes[begin : begin + count] for begin in range(0, len(cubes), count)]
        below = [_divide(batch, nodes, log2dim, edge, sums) for batch in batches]
        cubes = _joined(below) if below else cubes
    return sums


def _nodes(tree: Tree) -> Iterator[_Nodes]:
    upper = tree.root.child_origins
    yield _Nodes(tree.upper, upper)
    yield _Nodes(tree.lower, child_origins(upper, tree.upper.child, UPPER_LOG2, 128))
    yield _Nodes(tree.leaf, leaf_origins(tree))


def _root_cubes(a: Tree, b: Tree, sums: ErrorSums) -> _Cubes:
    """The cubes of either root table where a node is; adds the errors of the others."""
    tables = [origins for tree in (a, b) for origins in (tree.root.child_origins, tree.root.tile_origins)]
    origins = np.concatenate(tables)
    origins = origins[distinct(origins)[0]]
    x, y = _root_slots(a, origins), _root_slots(b, origins)
    divided = _add_undivided(x, y, _ROOT_VOXELS, sums)
    return _Cubes(origins[divided], (x[divided], y[divided]))


def _root_slots(tree: Tree, origins: np.ndarray) -> _Slots:
    """Slots (M) of a root table at origins (M, 3): the background where it has no entry."""
    background = np.atleast_1d(tree.root.background)
    values, active = np.repeat(background[None], len(origins), axis=0), np.zeros(len(origins), bool)
    at = find(tree.root.tile_origins, origins)
    is_tile = at >= 0
    values[is_tile] = tree.root.tile_values[at[is_tile]].reshape(-1, len(background))
    active[is_tile] = tree.root.tile_active[at[is_tile]] != 0
    return _Slots(values, active, find(tree.root.child_origins, origins) >= 0)


def _divide(cubes: _Cubes, nodes: tuple[_Nodes, _Nodes], log2dim: int, edge: int, sums: ErrorSums) -> _Cubes:
    """What of the cubes a node lies below, as cubes of `edge` voxels; adds the errors of the others.

    nodes: of both trees, 2**log2dim slots along each axis.
    """
    x, y = (of.slots_at(cubes.origins, slots) for of, slots in zip(nodes, cubes.slots, strict=True))
    divided = _add_undivided(x, y, edge**3, sums)
    cube, slot = np.nonzero(divided)
    steps = np.stack(np.unravel_index(slot, (1 << log2dim,) * 3), axis=1) * edge
    return _Cubes((cubes.origins[cube] + steps).astype(np.int32), (x[divided], y[divided]))


def _add_undivided(x: _Slots, y: _Slots, voxels: int, sums: ErrorSums) -> np.ndarray:
    """Adds the errors of the slots that neither tree divides, of so many voxels each; gives which are divided."""
    divided: np.ndarray = x.child | y.child
    sums.add(x.values[~divided], y.values[~divided], x.active[~divided], y.active[~divided], voxels)
    return divided


def _joined(batches: list[_Cubes]) -> _Cubes:
    first, second = (_concatenated([batch.slots[i] for batch in batches]) for i in range(2))
    return _Cubes(np.concatenate([batch.origins for batch in batches]), (first, second))


def _concatenated(slots: list[_Slots]) -> _Slots:
    return _Slots(*(np.concatenate([getattr(of, name) for of in slots]) for name in ("values", "active", "child")))
