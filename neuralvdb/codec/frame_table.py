"""The table of a frame: what is known of a file and its grids without decoding any (section FRAM)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xxhash

from neuralvdb.archive import FieldReader, FieldWriter, open_table, pack_table
from neuralvdb.topology import Topology
from neuralvdb.volume import Storage, VolumeGrid
from neuralvdb.volume.grid import LEAF_SLOTS, LOWER_SLOTS, UPPER_SLOTS, display_name, popcount


@dataclass
class GridHead:
    """One grid of a frame.

    topology_of: index of the grid whose TOPO section holds this grid's topology. source_size: bytes it
    took in the source. content: 16 bytes, the hash of what decoding must give. Counts are those of the
    tree; active_voxels counts tiles by the voxels they cover, as OpenVDB does. pruned: voxels that are active in either
    the source or this grid, None where the topology is exact.
    """

    unique_name: bytes
    grid_type: str
    parent: bytes
    half: bool
    storage: Storage
    metadata: bytes
    transform: bytes
    block_offset: int
    source_size: int
    topology_of: int
    leaves: int
    active_tiles: int
    active_voxels: int
    content: bytes
    pruned: int | None = None

    @property
    def name(self) -> str:
        """The name for people."""
        return display_name(self.unique_name)


@dataclass
class Frame:
    """One source file: its file version, the library that wrote it, uuid (36 bytes), file-level metadata
    (OpenVDB's bytes), size in bytes and grids. complete: false where the user left grids out."""

    version: int
    library: tuple[int, int]
    uuid: bytes
    metadata: bytes
    source_size: int
    complete: bool = True
    grids: list[GridHead] = field(default_factory=list)

    def pack(self) -> tuple[bytes, int]:
        """The payload of a FRAM section and its raw size in bytes."""
        out = FieldWriter()
        out.put("u32", self.version, *self.library)
        out.put_bytes(self.uuid)
        out.put_bytes(self.metadata)
        out.put_varint(self.source_size)
        out.put("u8", self.complete)
        out.put("u32", len(self.grids))
        for grid in self.grids:
            _pack_grid(out, grid)
        table = out.getvalue()
        return pack_table(table), len(table)

    @classmethod
    def unpack(cls, payload: bytes, raw_size: int, where: str) -> Frame:
        """The frame of a FRAM section. Raises DamagedFile."""
        table = open_table(payload, where, raw_size)
        version, major, minor = (table.take("u32") for _ in range(3))
        uuid, metadata = bytes(table.take_bytes()), bytes(table.take_bytes())
        if len(uuid) != 36:
            raise table.damaged(f"a uuid of {len(uuid)} characters")
        frame = cls(version, (major, minor), uuid, metadata, table.take_varint(), bool(table.take("u8")))
        count = table.take("u32")
        for index in range(count):
            frame.grids.append(_unpack_grid(table, index))
        table.finish()
        return frame


def head_of(grid: VolumeGrid, source_size: int, index: int) -> GridHead:
    """The table entry of `grid`, which is the frame's grid number `index` and took `source_size` bytes."""
    leaves = tiles = voxels = 0
    if grid.tree is not None:
        leaves, tiles, voxels = count(Topology.of(grid.tree))
    return GridHead(
        grid.unique_name,
        grid.grid_type,
        grid.parent,
        grid.half,
        grid.storage,
        grid.metadata,
        grid.transform,
        grid.block_offset if grid.storage is Storage.RAW else 0,
        source_size,
        index,
        leaves,
        tiles,
        voxels,
        content_hash(grid),
    )


def content_hash(grid: VolumeGrid) -> bytes:
    """16 bytes of XXH3-128 over all arrays of the tree in their order in memory, or over the blob."""
    state = xxhash.xxh3_128(grid.blob)
    if grid.tree is not None:
        root = grid.tree.root
        arrays = [root.background, root.child_origins, root.tile_origins, root.tile_active, root.tile_values]
        for level in grid.tree.levels:
            arrays += [a for a in (level.child, level.active, level.values) if a is not None]
        for array in arrays:
            state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.digest()


def count(topology: Topology) -> tuple[int, int, int]:
    """Leaves, active tiles, active voxels."""
    tiles = int(topology.tile_active.sum()), popcount(topology.upper_active), popcount(topology.lower_active)
    covered = (
        tiles[0] * UPPER_SLOTS * LOWER_SLOTS * LEAF_SLOTS + tiles[1] * LOWER_SLOTS * LEAF_SLOTS + tiles[2] * LEAF_SLOTS
    )
    return len(topology.leaf_active), sum(tiles), covered + popcount(topology.leaf_active)


def _pack_grid(out: FieldWriter, grid: GridHead) -> None:
    for data in (grid.unique_name, grid.grid_type.encode(), grid.parent, grid.metadata, grid.transform, grid.content):
        out.put_bytes(data)
    out.put("u8", grid.half, grid.storage)
    for number in (
        grid.block_offset,
        grid.source_size,
        grid.topology_of,
        grid.leaves,
        grid.active_tiles,
        grid.active_voxels,
        0 if grid.pruned is None else grid.pruned + 1,
    ):
        out.put_varint(number)


def _unpack_grid(table: FieldReader, index: int) -> GridHead:
    name, kind, parent, metadata, transform, content = (bytes(table.take_bytes()) for _ in range(6))
    half, storage = bool(table.take("u8")), table.take("u8")
    if storage > max(Storage):
        raise table.damaged(f"grid '{display_name(name)}' travels in an unknown way ({storage})")
    offset, size, topology_of, leaves, tiles, voxels, pruned = (table.take_varint() for _ in range(7))
    if topology_of > index:
        raise table.damaged(f"grid '{display_name(name)}' takes its topology from a later one")
    return GridHead(
        name,
        kind.decode("utf-8", "backslashreplace"),
        parent,
        half,
        Storage(storage),
        metadata,
        transform,
        offset,
        size,
        topology_of,
        leaves,
        tiles,
        voxels,
        content,
        pruned - 1 if pruned else None,
    )
