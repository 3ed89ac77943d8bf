"""Topology by networks: section TOPO, codec 1 (layout in archive/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import FINDS, Find, brick_coords, from_bricks, place, to_bricks
from neuralvdb.topology.classify import Classifier
from neuralvdb.topology.coder import Step, code_mask, put, take
from neuralvdb.topology.context import CELLS, NODES, TILES, VOXELS, Family
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.root import put_root, take_root
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack

_LEAF, _CHILD, _TILE = (VOXELS, CELLS, CELLS, CELLS), (NODES,) * 4, (TILES,) * 4
_UPPER, _LOWER = (32, 128), (16, 8)  # cells per axis of a node, and voxels per axis of a cell
Check = Callable[[int, int], None]


def encode(topology: Topology, *, threads: int = 1, implementation: str = "native") -> bytes:
    """The payload of a TOPO section."""
    prior = priors.load()
    out = FieldWriter()
    put_root(out, topology)
    out.put_bytes(prior.identity)
    tiles = [bool(mask.any()) for mask in (topology.upper_active, topology.lower_active)]
    out.put("u8", tiles[0] | tiles[1] << 1)
    coder = Encoder(prior.tables)
    classify = Classifier(prior.networks, threads=threads, implementation=implementation)
    walk(topology, tiles, classify, put(coder), FINDS[implementation])
    out.put_bytes(coder.finish(threads))
    return out.getvalue()


def decode(payload: bytes, declared: int, where: str, *, threads: int = 1, implementation: str = "native") -> Topology:
    """The topology in `payload`. Raises DamagedFile where it breaks the format or takes more than `declared` bytes."""
    prior = priors.load()
    source = FieldReader(payload, where)
    root, used = take_root(source, declared)
    if source.take_bytes() != prior.identity:
        raise source.damaged("it needs networks that this version does not have")
    flags = source.take("u8")
    if flags > 3:
        raise source.damaged(f"flags {flags} do not exist")
    coder = Decoder(source.take_bytes(), prior.tables, where, threads)
    source.finish()

    def fits(lowers: int, leaves: int) -> None:
        size = used + lowers * 1024 + leaves * 64
        if size > declared:
            raise source.damaged(f"masks need {size} bytes but {declared} are declared")

    classify = Classifier(prior.networks, threads=threads, implementation=implementation)
    tiles = [bool(flags & 1), bool(flags & 2)]
    topology = walk(root, tiles, classify, take(coder), FINDS[implementation], fits)
    coder.finish()
    return topology


def walk(
    topology: Topology, tiles: list[bool], classify: Classifier, step: Step, find: Find, fits: Check | None = None
) -> Topology:
    """Codes all masks of a topology and gives it. With `fits`, which is told how many lower nodes and leaves there are,
    only its root is known. tiles: whether upper and lower nodes have active tiles."""
    known = topology if fits is None else None
    tree = _Walk(classify, step, find)
    tree.add_tiles(topology.tile_origins, topology.tile_active[:, None] > 0, 4096, 4096)
    uppers = topology.child_origins
    upper = tree.nodes(uppers, *_UPPER, known and (known.upper_child, known.upper_active), tiles[0])
    lowers = child_origins(uppers, upper[0], UPPER_LOG2, 128)
    if fits is not None:
        fits(len(lowers), 0)
    lower = tree.nodes(lowers, *_LOWER, known and (known.lower_child, known.lower_active), tiles[1])
    if fits is not None:
        fits(len(lowers), popcount(lower[0]))
    leaves = child_origins(lowers, lower[0], LOWER_LOG2, 8)
    leaf = tree.mask(leaves, 8, 1, _LEAF, known and known.leaf_active)
    root = topology.child_origins, topology.tile_origins, topology.tile_active
    return Topology(*root, *upper, *lower, leaf)


@dataclass(frozen=True)
class _Tiles:
    """Active tiles of nodes: their coordinates, masks (nodes, S) bool, edges of a node and of a tile in voxels."""

    nodes: np.ndarray
    active: np.ndarray
    span: int
    edge: int


class _Walk:
    """Goes down a tree; remembers the active tiles that it has met."""

    def __init__(self, classify: Classifier, step: Step, find: Find) -> None:
        self._classify, self._step, self._find = classify, step, find
        self._tiles: list[_Tiles] = []

    def add_tiles(self, origins: np.ndarray, active: np.ndarray, span: int, edge: int) -> None:
        """Notes active tiles (nodes, S) bool, with `edge` voxels per axis, of nodes with `span`."""
        if active.any():
            self._tiles.append(_Tiles(origins // span, active, span, edge))

    def nodes(
        self, origins: np.ndarray, edge: int, cell: int, known: tuple[np.ndarray, np.ndarray] | None, tiles: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Child and active masks of the upper or lower nodes at `origins`."""
        child = self.mask(origins, edge, cell, _CHILD, known and known[0])
        if not tiles:
            return child, np.zeros_like(child)
        active = self.mask(origins, edge, cell, _TILE, known and known[1], child)
        self.add_tiles(origins, unpack(active), edge * cell, cell)
        return child, active

    def mask(
        self,
        origins: np.ndarray,
        edge: int,
        cell: int,
        families: tuple[Family, ...],
        known: np.ndarray | None,
        ignored: np.ndarray | None = None,
    ) -> np.ndarray:
        """A mask of the nodes at `origins` with edge^3 cells of `cell` voxels per axis."""
        full_at = None if families is _CHILD or not self._tiles else lambda coords: self._full_at(coords, 8 * cell)
        where = place(brick_coords(origins, edge, cell), full_at, self._find)
        bricks = [None if mask is None else to_bricks(unpack(mask)) for mask in (known, ignored)]
        mask = code_mask(where, families, self._classify, self._step, *bricks)
        return np.packbits(from_bricks(mask, edge), axis=1, bitorder="little")

    def _full_at(self, coords: np.ndarray, edge: int) -> np.ndarray:
        """(M,) bool: whether an active tile covers the brick of `edge` voxels at coords (M, 3)."""
        full = np.zeros(len(coords), bool)
        for tiles in self._tiles:
            at = self._find(tiles.nodes, coords // (tiles.span // edge))
            there = at >= 0
            n = tiles.span // tiles.edge
            slot = coords[there] % (tiles.span // edge) // (tiles.edge // edge) @ np.array([n * n, n, 1])
            full[there] |= tiles.active[at[there], slot]
        return full
