"""Codes all masks of a tree, from the root down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuralvdb.topology.bricks import Find, brick_coords, from_bricks, place, to_bricks
from neuralvdb.topology.code_mask import Code
from neuralvdb.topology.inputs import CELLS, NODES, OTHERS, TILES, VOXELS, Family
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack

_LEAF, _CHILD, _TILE, _OTHER = (VOXELS, CELLS, CELLS, CELLS), (NODES,) * 4, (TILES,) * 4, (OTHERS,) * 4
_UPPER, _LOWER, _VOXEL = (32, 128), (16, 8), (8, 1)  # bits per axis of a node, and voxels per axis of a bit
Check = Callable[[int, int], None]
Known = tuple[np.ndarray, np.ndarray] | None  # child and active masks


def walk(
    topology: Topology,
    tiles: tuple[bool, bool],
    code: Code,
    find: Find,
    *,
    fits: Check | None = None,
    base: Topology | None = None,
) -> Topology:
    """Codes all masks of a topology, each by `code`, and gives it. With `fits`, which is told how many lower nodes and
    leaves there are, only its root is known. tiles: whether upper and lower nodes have active tiles; base: what it
    resembles."""
    known = topology if fits is None else None
    like = None if base is None else _Base(base, find)
    tree = _Walk(code, find)
    tree.tiles.add(topology.tile_origins, topology.tile_active[:, None] > 0, 4096, 4096)
    uppers = topology.child_origins
    upper = tree.nodes(
        uppers, _UPPER, known and (known.upper_child, known.upper_active), tiles[0], like and like.uppers
    )
    lowers = child_origins(uppers, upper[0], UPPER_LOG2, 128)
    if fits is not None:
        fits(len(lowers), 0)
    lower = tree.nodes(
        lowers, _LOWER, known and (known.lower_child, known.lower_active), tiles[1], like and like.lowers
    )
    if fits is not None:
        fits(len(lowers), popcount(lower[0]))
    leaves = child_origins(lowers, lower[0], LOWER_LOG2, 8)
    leaf = tree.mask(leaves, _VOXEL, _LEAF, known and known.leaf_active, like and like.leaves(leaves))
    root = topology.child_origins, topology.tile_origins, topology.tile_active
    return Topology(*root, *upper, *lower, leaf)


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
            there = at >= 0
            n = layer.span // layer.edge
            slot = coords[there] % (layer.span // edge) // (layer.edge // edge) @ np.array([n * n, n, 1])
            full[there] |= layer.active[at[there], slot]
        return full

    def __bool__(self) -> bool:
        return bool(self._layers)


class _Walk:
    """Goes down a tree; remembers the active tiles that it has met."""

    def __init__(self, code: Code, find: Find) -> None:
        self._code, self._find = code, find
        self.tiles = _Tiles(find)

    def nodes(
        self,
        origins: np.ndarray,
        size: tuple[int, int],
        known: Known,
        tiles: bool,
        like: Callable[[np.ndarray], np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Child and active masks of the upper or lower nodes at `origins`."""
        child = self.mask(origins, size, _CHILD, known and known[0], like and like(origins))
        if not tiles:
            return child, np.zeros_like(child)
        active = self.mask(origins, size, _TILE, known and known[1], child)
        self.tiles.add(origins, unpack(active), size[0] * size[1], size[1])
        return child, active

    def mask(
        self,
        origins: np.ndarray,
        size: tuple[int, int],
        families: tuple[Family, ...],
        known: np.ndarray | None,
        reference: np.ndarray | None,
    ) -> np.ndarray:
        """A mask of the nodes at `origins`: bits per axis, and voxels per axis of a bit, are `size`."""
        edge, cell = size
        full_at = None if families is _CHILD or not self.tiles else lambda coords: self.tiles.full_at(coords, 8 * cell)
        where = place(brick_coords(origins, edge, cell), full_at, self._find)
        bricks = [None if mask is None else to_bricks(unpack(mask)) for mask in (known, reference)]
        ignore = families is _TILE
        if reference is not None and not ignore:
            families = _OTHER
        mask = self._code(where, families, *bricks, ignore=ignore)
        return np.packbits(from_bricks(mask, edge), axis=1, bitorder="little")


class _Base:
    """The masks of another tree, by place."""

    def __init__(self, base: Topology, find: Find) -> None:
        self._base, self._find = base, find
        self._upper = base.child_origins
        self._lower = child_origins(self._upper, base.upper_child, UPPER_LOG2, 128)
        self._leaf = child_origins(self._lower, base.lower_child, LOWER_LOG2, 8)
        self._tiles = _Tiles(find)
        self._tiles.add(base.tile_origins, base.tile_active[:, None] > 0, 4096, 4096)
        self._tiles.add(self._upper, unpack(base.upper_active), 4096, 128)
        self._tiles.add(self._lower, unpack(base.lower_active), 128, 8)

    def uppers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the upper nodes at `origins`, 0 where there is none."""
        return self._at(self._upper, self._base.upper_child, origins)

    def lowers(self, origins: np.ndarray) -> np.ndarray:
        """Child masks of the lower nodes at `origins`, 0 where there is none."""
        return self._at(self._lower, self._base.lower_child, origins)

    def leaves(self, origins: np.ndarray) -> np.ndarray:
        """Active masks of the leaves at `origins`, all or nothing where a tile or the background is."""
        masks = self._at(self._leaf, self._base.leaf_active, origins)
        missing = self._find(self._leaf, origins) < 0
        masks[missing] = np.where(self._tiles.full_at(origins[missing] // 8, 8), 255, 0)[:, None]
        return masks

    def _at(self, nodes: np.ndarray, masks: np.ndarray, origins: np.ndarray) -> np.ndarray:
        found = np.zeros((len(origins), masks.shape[1]), np.uint8)
        at = self._find(nodes, origins)
        found[at >= 0] = masks[at[at >= 0]]
        return found
