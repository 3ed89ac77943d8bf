"""Codes all masks of a tree, from the root down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from neuralvdb.topology.bricks import Find, brick_coords, find_neighbours, from_bricks, to_bricks
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
    find: Find,
    *,
    check_size: CheckSize | None = None,
    reference: Topology | None = None,
) -> Topology:
    """Codes all masks of a topology, each by `code`, and returns it.

    tiles: whether upper and lower nodes have active tiles.
    check_size: decoding; only the root of `topology` is known. Called after each level with the node counts so far.
    reference: a topology that this one resembles.
    """
    truth = topology if check_size is None else None
    near = None if reference is None else _ReferenceMasks(reference, find)
    tree = _TreeCoder(code, find)
    tree.tiles.add(topology.tile_origins, topology.tile_active[:, None] > 0, 4096, 4096)
    uppers = topology.child_origins
    near_uppers = None if near is None else near.uppers(uppers)
    true_uppers = None if truth is None else NodeMasks(truth.upper_child, truth.upper_active)
    upper = tree.nodes(_Nodes(uppers, _UPPER, tiles[0]), true_uppers, near_uppers)
    lowers = child_origins(uppers, upper.child, UPPER_LOG2, 128)
    if check_size is not None:
        check_size(lowers=len(lowers), leaves=0)
    lower = tree.nodes(
        _Nodes(lowers, _LOWER, tiles[1]),
        None if truth is None else NodeMasks(truth.lower_child, truth.lower_active),
        None if near is None else near.lowers(lowers),
    )
    if check_size is not None:
        check_size(lowers=len(lowers), leaves=popcount(lower.child))
    leaves = child_origins(lowers, lower.child, LOWER_LOG2, 8)
    near_leaves = None if near is None else near.leaves(leaves)
    leaf = tree.mask(_Nodes(leaves, _VOXEL, False), _LEAF, None if truth is None else truth.leaf_active, near_leaves)
    return replace(
        topology,
        upper_child=upper.child,
        upper_active=upper.active,
        lower_child=lower.child,
        lower_active=lower.active,
        leaf_active=leaf,
    )


@dataclass(frozen=True)
class _Nodes:
    """Nodes of a level. origins: (n, 3) int32, in voxels; size: bits per axis of a node, and voxels per axis of a bit;
    tiles: whether any has active tiles."""

    origins: np.ndarray
    size: tuple[int, int]
    tiles: bool


@dataclass(frozen=True)
class _Layer:
    """Active tiles of nodes: coordinates of nodes, masks (nodes, S) bool, voxels per axis of a node and of a tile."""

    nodes: np.ndarray
    active: np.ndarray
    span: int
    edge: int


class _Tiles:
    """The active tiles of a tree, as far as they are known."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._layers: list[_Layer] = []

    def add(self, origins: np.ndarray, active: np.ndarray, span: int, edge: int) -> None:
        """Notes active tiles (nodes, S) bool, with `edge` voxels per axis, of nodes with `span`."""
        if active.any():
            self._layers.append(_Layer(origins // span, active, span, edge))

    def full_at(self, coords: np.ndarray, edge: int) -> np.ndarray:
        """(M,) bool: whether a tile covers the brick of `edge` voxels per axis at coords (M, 3)."""
        full = np.zeros(len(coords), bool)
        for layer in self._layers:
            at = self._find(layer.nodes, coords // (layer.span // edge))
            in_layer = at >= 0
            n = layer.span // layer.edge
            slot = coords[in_layer] % (layer.span // edge) // (layer.edge // edge) @ np.array([n * n, n, 1])
            full[in_layer] |= layer.active[at[in_layer], slot]
        return full

    def __bool__(self) -> bool:
        return bool(self._layers)


class _TreeCoder:
    """Codes masks from the root down; remembers the active tiles that it has met."""

    def __init__(self, code: CodeMask, find: Find) -> None:
        self._code, self._find = code, find
        self.tiles = _Tiles(find)

    def nodes(self, nodes: _Nodes, truth: NodeMasks | None, reference: np.ndarray | None) -> NodeMasks:
        """The masks of upper or lower nodes. truth: the masks where they are known; reference: child masks of another
        tree's nodes at the same places."""
        child = self.mask(nodes, _CHILD, None if truth is None else truth.child, reference)
        if not nodes.tiles:
            return NodeMasks(child, np.zeros_like(child))
        active = self.mask(nodes, _TILE, None if truth is None else truth.active, child)
        bits, voxels = nodes.size
        self.tiles.add(nodes.origins, unpack(active), bits * voxels, voxels)
        return NodeMasks(child, active)

    def mask(
        self,
        nodes: _Nodes,
        families: tuple[Family, ...],
        truth: np.ndarray | None,
        reference: np.ndarray | None,
    ) -> np.ndarray:
        """One mask of nodes, packed, `truth` where it is known."""
        edge, cell = nodes.size
        is_full = None if families is _CHILD or not self.tiles else _TileTest(self.tiles, 8 * cell)
        neighbours = find_neighbours(brick_coords(nodes.origins, edge, cell), is_full, self._find)
        skip = families is _TILE
        if reference is not None and not skip:
            families = _REFERENCED
        bits, reference_bits = (None if mask is None else to_bricks(mask) for mask in (truth, reference))
        task = MaskTask(neighbours, families, truth=bits, reference=reference_bits, skip_reference=skip)
        return from_bricks(self._code(task), edge)


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

    def __init__(self, topology: Topology, find: Find) -> None:
        self._topology, self._find = topology, find
        self._upper = topology.child_origins
        self._lower = child_origins(self._upper, topology.upper_child, UPPER_LOG2, 128)
        self._leaf = child_origins(self._lower, topology.lower_child, LOWER_LOG2, 8)
        self._tiles = _Tiles(find)
        self._tiles.add(topology.tile_origins, topology.tile_active[:, None] > 0, 4096, 4096)
        self._tiles.add(self._upper, unpack(topology.upper_active), 4096, 128)
        self._tiles.add(self._lower, unpack(topology.lower_active), 128, 8)

    def uppers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the upper nodes at `origins`, 0 where there is none."""
        return self._at(self._upper, self._topology.upper_child, origins)

    def lowers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the lower nodes at `origins`, 0 where there is none."""
        return self._at(self._lower, self._topology.lower_child, origins)

    def leaves(self, origins: np.ndarray) -> np.ndarray:
        """Active masks of the leaves at `origins`, all or nothing where a tile or the background is."""
        masks = self._at(self._leaf, self._topology.leaf_active, origins)
        missing = self._find(self._leaf, origins) < 0
        masks[missing] = np.where(self._tiles.full_at(origins[missing] // 8, 8), 255, 0)[:, None]
        return masks

    def _at(self, nodes: np.ndarray, masks: np.ndarray, origins: np.ndarray) -> np.ndarray:
        masks_at_origins = np.zeros((len(origins), masks.shape[1]), np.uint8)
        at = self._find(nodes, origins)
        masks_at_origins[at >= 0] = masks[at[at >= 0]]
        return masks_at_origins
