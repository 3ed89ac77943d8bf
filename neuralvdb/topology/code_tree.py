"""Codes all masks of a tree, from the root down."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.topology.bricks import (
    BrickIndex,
    Bricks,
    MakeIndex,
    brick_coords,
    find_neighbours,
    from_bricks,
    to_bricks,
)
from neuralvdb.topology.chunks import group_leaves
from neuralvdb.topology.code_mask import CodeMask, MaskTask
from neuralvdb.topology.inputs import CELLS, NODES, REFERENCED, TILES, VOXELS, Family
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack

_LEAF, _CHILD, _TILE, _REFERENCED = (VOXELS, CELLS, CELLS, CELLS), (NODES,) * 4, (TILES,) * 4, (REFERENCED,) * 4
_UPPER, _LOWER, _VOXEL = (32, 128), (16, 8), (8, 1)  # bits per axis of a node, and voxels per axis of a bit


class CheckSize(Protocol):
    """Told how many nodes there are while a tree is decoded. Raises DamagedFile where they are too many."""

    def __call__(self, *, lowers: int, leaves: int) -> None:
        """So many lower nodes and leaves are known so far."""


@dataclass(frozen=True)
class NodeMasks:
    """Child and active masks (nodes, S/8) uint8 of the upper or the lower nodes."""

    child: np.ndarray
    active: np.ndarray


def code_tree(
    topology: Topology,
    tiles: tuple[bool, bool],
    code: CodeMask,
    make_index: MakeIndex,
    *,
    reference: Topology | None = None,
) -> None:
    """Codes all masks of a known topology, each by `code`; arguments as TreeCoder has them."""
    tree = TreeCoder(topology, tiles, make_index, reference)
    tree.code_nodes(code, topology)
    for group in group_leaves(tree.leaf_origins):
        tree.code_leaves(code, group.leaves, topology)


class TreeCoder:
    """Codes the masks of a tree: those of its nodes, then those of its leaves, chunk by chunk.

    root: a topology of which only the root must be known.
    tiles: whether upper and lower nodes have active tiles.
    reference: a topology that this one resembles.
    """

    def __init__(
        self, root: Topology, tiles: tuple[bool, bool], make_index: MakeIndex, reference: Topology | None
    ) -> None:
        self._root, self._has_tiles, self._make_index = root, tiles, make_index
        self._reference = None if reference is None else _ReferenceMasks(reference, make_index)
        self._tiles = _Tiles(make_index)
        self._tiles.add(root.tile_origins, root.tile_active[:, None] > 0, 4096, 4096)
        self.leaf_origins = np.zeros((0, 3), np.int32)

    def code_nodes(self, code: CodeMask, truth: Topology | None, check_size: CheckSize | None = None) -> Topology:
        """The topology without the masks of its leaves, which are 0; then `leaf_origins` are known.

        truth: the topology, where it is known. check_size: called after each level with the node counts so far.
        """
        uppers, near = self._root.child_origins, self._reference
        true_uppers = None if truth is None else NodeMasks(truth.upper_child, truth.upper_active)
        true_lowers = None if truth is None else NodeMasks(truth.lower_child, truth.lower_active)
        nodes = _Nodes(uppers, _UPPER, self._has_tiles[0])
        upper = self._nodes(code, nodes, true_uppers, None if near is None else near.uppers(uppers))
        lowers = child_origins(uppers, upper.child, UPPER_LOG2, 128)
        if check_size is not None:
            check_size(lowers=len(lowers), leaves=0)
        nodes = _Nodes(lowers, _LOWER, self._has_tiles[1])
        lower = self._nodes(code, nodes, true_lowers, None if near is None else near.lowers(lowers))
        if check_size is not None:
            check_size(lowers=len(lowers), leaves=popcount(lower.child))
        self.leaf_origins = child_origins(lowers, lower.child, LOWER_LOG2, 8)
        self._leaves = self._bricks(_Nodes(self.leaf_origins, _VOXEL, False))
        return replace(
            self._root,
            upper_child=upper.child,
            upper_active=upper.active,
            lower_child=lower.child,
            lower_active=lower.active,
            leaf_active=np.zeros((len(self.leaf_origins), 64), np.uint8),
        )

    def code_leaves(self, code: CodeMask, leaves: np.ndarray, truth: Topology | None) -> np.ndarray:
        """The masks (B, 64) uint8 of leaves number `leaves` (B,) int64, which see no others. Threads may call it at
        the same time."""
        return code(self.leaf_task(leaves, truth))

    def leaf_task(self, leaves: np.ndarray, truth: Topology | None) -> MaskTask:
        """What code_leaves() has coded."""
        near = self._reference
        masks = _Masks(
            families=_LEAF if near is None else _REFERENCED,
            truth=None if truth is None else truth.leaf_active[leaves],
            reference=None if near is None else near.leaves(self.leaf_origins[leaves]),
        )
        return self._task(self._leaves, leaves, masks)

    def _nodes(self, code: CodeMask, nodes: _Nodes, truth: NodeMasks | None, reference: np.ndarray | None) -> NodeMasks:
        """The masks of upper or lower nodes. truth: the masks where they are known; reference: child masks of another
        tree's nodes at the same places."""
        bricks, (bits, voxels) = self._bricks(nodes), nodes.size
        every = np.arange(len(bricks.all.coords))

        def coded(families: tuple[Family, ...], truth: np.ndarray | None, reference: np.ndarray | None) -> np.ndarray:
            known, other = (None if mask is None else to_bricks(mask) for mask in (truth, reference))
            return from_bricks(code(self._task(bricks, every, _Masks(families, known, other))), bits)

        families = _CHILD if reference is None else _REFERENCED
        child = coded(families, None if truth is None else truth.child, reference)
        if not nodes.tiles:
            return NodeMasks(child, np.zeros_like(child))
        active = coded(_TILE, None if truth is None else truth.active, child)
        self._tiles.add(nodes.origins, unpack(active), bits * voxels, voxels)
        return NodeMasks(child, active)

    def _bricks(self, nodes: _Nodes) -> _NodeBricks:
        edge, voxels = nodes.size
        coords = brick_coords(nodes.origins, edge, voxels)
        return _NodeBricks(Bricks(coords, self._make_index(coords)), 8 * voxels, is_leaf=voxels == 1)

    def _task(self, bricks: _NodeBricks, numbers: np.ndarray, masks: _Masks) -> MaskTask:
        """What is to be coded of bricks number `numbers` (B,)."""
        sees_tiles = self._tiles and (bricks.is_leaf or masks.families is _TILE)
        neighbours = find_neighbours(bricks.all, numbers, _TileTest(self._tiles, bricks.edge) if sees_tiles else None)
        skip = masks.families is _TILE
        return MaskTask(neighbours, masks.families, masks.truth, masks.reference, skip_reference=skip)


@dataclass(frozen=True)
class _Nodes:
    """Nodes of a level. origins: (n, 3) int32, in voxels; size: bits per axis of a node, and voxels per axis of a bit;
    tiles: whether any has active tiles."""

    origins: np.ndarray
    size: tuple[int, int]
    tiles: bool


@dataclass(frozen=True)
class _NodeBricks:
    """The bricks of a level's masks. edge: of a brick, in voxels."""

    all: Bricks
    edge: int
    is_leaf: bool


@dataclass(frozen=True)
class _Masks:
    """Bits (B, 64) of bricks: the truth, where it is known, and those of a reference."""

    families: tuple[Family, ...]
    truth: np.ndarray | None
    reference: np.ndarray | None


@dataclass(frozen=True)
class _Layer:
    """Active tiles of nodes, which the index finds: masks (nodes, S) bool, voxels per axis of a node and of a tile."""

    nodes: BrickIndex
    active: np.ndarray
    span: int
    edge: int


class _Tiles:
    """The active tiles of a tree, as far as they are known."""

    def __init__(self, make_index: MakeIndex) -> None:
        self._make_index = make_index
        self._layers: list[_Layer] = []

    def add(self, origins: np.ndarray, active: np.ndarray, span: int, edge: int) -> None:
        """Notes active tiles (nodes, S) bool, with `edge` voxels per axis, of nodes with `span`."""
        if active.any():
            self._layers.append(_Layer(self._make_index(origins // span), active, span, edge))

    def full_at(self, coords: np.ndarray, edge: int) -> np.ndarray:
        """(M,) bool: whether a tile covers the brick of `edge` voxels per axis at coords (M, 3)."""
        full = np.zeros(len(coords), bool)
        for layer in self._layers:
            at = layer.nodes.find(coords // (layer.span // edge))
            in_layer = at >= 0
            n = layer.span // layer.edge
            slot = coords[in_layer] % (layer.span // edge) // (layer.edge // edge) @ np.array([n * n, n, 1])
            full[in_layer] |= layer.active[at[in_layer], slot]
        return full

    def __bool__(self) -> bool:
        return bool(self._layers)


@dataclass(frozen=True)
class _TileTest:
    """Whether active tiles cover bricks of `edge` voxels per axis."""

    tiles: _Tiles
    edge: int

    def __call__(self, coords: np.ndarray) -> np.ndarray:
        """(M,) bool for bricks at coords (M, 3)."""
        return self.tiles.full_at(coords, self.edge)


class _ReferenceMasks:
    """The masks of another tree at given places."""

    def __init__(self, topology: Topology, make_index: MakeIndex) -> None:
        self._topology = topology
        uppers = topology.child_origins
        lowers = child_origins(uppers, topology.upper_child, UPPER_LOG2, 128)
        leaves = child_origins(lowers, topology.lower_child, LOWER_LOG2, 8)
        self._upper, self._lower, self._leaf = make_index(uppers), make_index(lowers), make_index(leaves)
        self._tiles = _Tiles(make_index)
        self._tiles.add(topology.tile_origins, topology.tile_active[:, None] > 0, 4096, 4096)
        self._tiles.add(uppers, unpack(topology.upper_active), 4096, 128)
        self._tiles.add(lowers, unpack(topology.lower_active), 128, 8)

    def uppers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the upper nodes at `origins`, 0 where there is none."""
        return _at(self._upper.find(origins), self._topology.upper_child)

    def lowers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the lower nodes at `origins`, 0 where there is none."""
        return _at(self._lower.find(origins), self._topology.lower_child)

    def leaves(self, origins: np.ndarray) -> np.ndarray:
        """Active masks of the leaves at `origins`, all or nothing where a tile or the background is."""
        at = self._leaf.find(origins)
        missing, needed = at < 0, np.zeros(len(self._topology.leaf_active), bool)
        needed[at[~missing]] = True
        self._topology.need(needed)
        masks = _at(at, self._topology.leaf_active)
        masks[missing] = np.where(self._tiles.full_at(origins[missing] // 8, 8), 255, 0)[:, None]
        return masks


def _at(index: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The masks (n, S/8) at `index` (n,), 0 where that is -1."""
    masks_at_index = np.zeros((len(index), masks.shape[1]), np.uint8)
    masks_at_index[index >= 0] = masks[index[index >= 0]]
    return masks_at_index
