"""The table of a frame: what is known of a file and its grids without decoding any (section FRAM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xxhash

from neuralvdb.archive import FieldReader, FieldWriter, open_table, pack_table
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import Unsupported
from neuralvdb.topology import Topology
from neuralvdb.volume import Storage, VolumeGrid
from neuralvdb.volume.grid import LEAF_SLOTS, LOWER_SLOTS, UPPER_SLOTS, display_name, popcount

UUID_SIZE = 36  # characters
HASH_SIZE, SHORT_HASH = 16, 8  # bytes; those of tables that are stored as differences
VERSION = 3  # of tables that text() gives
MAX_GRIDS, MAX_TABLE = 1 << 16, 1 << 24  # grids of a frame; bytes of its table


@dataclass(frozen=True, kw_only=True)
class GridHead:
    """One grid of a frame."""

    unique_name: bytes
    """The name in the file, with OpenVDB's suffix where names repeat."""
    grid_type: str
    """Such as Tree_float_5_4_3."""
    parent: bytes
    """Unique name of the grid whose tree it shares, or nothing."""
    half: bool
    """Whether it is saved as half."""
    storage: Storage
    """How it travels."""
    metadata: bytes
    """As OpenVDB serialises it."""
    transform: bytes
    """As OpenVDB serialises it."""
    block_offset: int
    """Of raw grids: bytes from the grid to its buffers."""
    source_size: int
    """Bytes that it took in the source."""
    topology_of: int
    """Number of the grid whose TOPO section holds its topology."""
    leaves: int
    """Of its tree."""
    active_tiles: int
    """Of all levels of its tree."""
    active_voxels: int
    """Of its tree; tiles count by the voxels they cover, as in OpenVDB."""
    content: bytes
    """16 bytes: content_hash() of what decoding must give, or the first 8 of them."""
    pruned: int | None = None
    """Voxels that are active either in the source or here, not in both; None where the topology is exact."""

    @property
    def name(self) -> str:
        """The name for people."""
        return display_name(self.unique_name)

    def is_of(self, content: bytes) -> bool:
        """Whether the content is what decoding must give."""
        return len(self.content) >= SHORT_HASH and content.startswith(self.content)

    @classmethod
    def of(cls, grid: VolumeGrid, *, source_size: int, topology_of: int, pruned: int | None = None) -> GridHead:
        """The table entry of a grid as it decodes; the rest as the fields of the same names."""
        counts = Counts() if grid.tree is None else Counts.of(Topology.of(grid.tree))
        return cls(
            unique_name=grid.unique_name,
            grid_type=grid.grid_type,
            parent=grid.parent,
            half=grid.half,
            storage=grid.storage,
            metadata=grid.metadata,
            transform=grid.transform,
            block_offset=grid.block_offset if grid.storage is Storage.RAW else 0,
            source_size=source_size,
            topology_of=topology_of,
            leaves=counts.leaves,
            active_tiles=counts.active_tiles,
            active_voxels=counts.active_voxels,
            content=content_hash(grid),
            pruned=pruned,
        )


@dataclass(frozen=True, kw_only=True)
class FrameTable:
    """One source file, and its grids."""

    version: int
    """File version of the source."""
    openvdb_version: tuple[int, int]
    """Of the OpenVDB library that wrote the source: major, minor."""
    uuid: bytes
    """UUID_SIZE characters."""
    metadata: bytes
    """File-level metadata as OpenVDB serialises it."""
    source_size: int
    """Bytes of the source."""
    complete: bool
    """False where the user left grids out."""
    grids: tuple[GridHead, ...]
    left_out: tuple[bytes, ...] = ()
    """Unique names of the grids that the user left out; of archives older than version 3 they are not known."""
    source_hash: bytes = b""
    """XXH3-128 of the source's bytes, or 8 bytes of that; empty where it was no file, or changed while it was read."""
    settings_hash: bytes = b""
    """16 bytes that no other settings have; empty where it is not known."""

    def shortened(self) -> FrameTable:
        """The same with the first bytes of hashes that differ from frame to frame."""
        grids = tuple(replace(grid, content=grid.content[:SHORT_HASH]) for grid in self.grids)
        return replace(self, grids=grids, source_hash=self.source_hash[:SHORT_HASH])

    def is_made_of(self, source_hash: bytes) -> bool:
        """Whether that is the hash of the source's bytes."""
        return bool(self.source_hash) and source_hash.startswith(self.source_hash)

    def pack(self) -> tuple[bytes, int]:
        """The payload of a FRAM section of codec 0 and its raw size in bytes. Raises what text() raises."""
        table = self.text()
        return pack_table(table), len(table)

    def text(self) -> bytes:
        """All fields, not compressed. Raises Unsupported where no archive may hold them."""
        out = FieldWriter()
        _put(out, _FRAME_FIELDS, self)
        out.put("u32", len(self.grids))
        for grid in self.grids:
            _put(out, _GRID_FIELDS, grid)
        out.put("u32", len(self.left_out))
        for name in self.left_out:
            out.put_bytes(name)
        _put(out, _HASHES, self)
        table = out.getvalue()
        if max(len(self.grids), len(self.left_out)) > MAX_GRIDS or len(table) > MAX_TABLE:
            what = f"{len(self.grids)} grids with {len(table)} bytes of names, metadata and transforms"
            raise Unsupported(f"{what} are too many for an archive; it holds {MAX_GRIDS} with {MAX_TABLE} bytes")
        return table

    @classmethod
    def unpack(cls, payload: bytes, raw_size: int, where: str, *, version: int) -> FrameTable:
        """The table of a FRAM section of codec 0 and a version. Raises DamagedFile."""
        return cls.take(open_table(payload, where, raw_size, MAX_TABLE), version)

    @classmethod
    def take(cls, source: FieldReader, version: int = VERSION) -> FrameTable:
        """The table of a version. Raises DamagedFile."""
        fields = _take(source, _FRAME_FIELDS)
        if len(fields["uuid"]) != UUID_SIZE:
            raise source.damaged(f"a uuid of {len(fields['uuid'])} characters")
        fields["grids"] = tuple(_take_head(source, number) for number in range(_take_count(source)))
        if version > 2:
            fields["left_out"] = tuple(_take_bytes(source) for _ in range(_take_count(source)))
            fields |= _take_hashes(source)
        source.finish()
        return cls(**fields)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much of a tree is active; tiles count as voxels by the voxels that they cover."""

    leaves: int = 0
    active_tiles: int = 0
    active_voxels: int = 0

    @classmethod
    def of(cls, topology: Topology) -> Counts:
        """The counts of a tree of this topology."""
        root, upper = int(topology.tile_active.sum()), popcount(topology.upper_active)
        lower, voxels = popcount(topology.lower_active), popcount(topology.leaf_active)
        in_tiles = ((root * UPPER_SLOTS + upper) * LOWER_SLOTS + lower) * LEAF_SLOTS
        return cls(
            leaves=len(topology.leaf_active),
            active_tiles=root + upper + lower,
            active_voxels=in_tiles + voxels,
        )


def content_hash(grid: VolumeGrid) -> bytes:
    """16 bytes of XXH3-128 over all arrays of the tree in their order in memory, or over the blob."""
    state = xxhash.xxh3_128(grid.blob)
    if grid.tree is not None:
        root, leaf = grid.tree.root, grid.tree.leaf
        arrays = [root.background, root.child_origins, root.tile_origins, root.tile_active, root.tile_values]
        for level in (grid.tree.upper, grid.tree.lower):
            arrays += [level.child, level.active, level.values]
        for array in (*arrays, leaf.active, leaf.values):
            state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.digest()


@dataclass(frozen=True)
class _FieldType:
    """How a field is written and read."""

    put: Callable[[FieldWriter, Any], None]
    take: Callable[[FieldReader], Any]


def _take_bytes(source: FieldReader) -> bytes:
    return bytes(source.take_bytes())


def _put_text(out: FieldWriter, value: str) -> None:
    out.put_bytes(value.encode())


def _take_text(source: FieldReader) -> str:
    return _take_bytes(source).decode("utf-8", "backslashreplace")


def _put_u32(out: FieldWriter, value: int) -> None:
    out.put("u32", value)


def _take_u32(source: FieldReader) -> int:
    return source.take("u32")


def _put_pair(out: FieldWriter, value: tuple[int, int]) -> None:
    out.put("u32", *value)


def _take_pair(source: FieldReader) -> tuple[int, int]:
    return source.take("u32"), source.take("u32")


def _put_byte(out: FieldWriter, value: int) -> None:
    out.put("u8", value)


def _take_byte(source: FieldReader) -> int:
    return source.take("u8")


def _take_flag(source: FieldReader) -> bool:
    return bool(source.take("u8"))


def _put_optional(out: FieldWriter, value: int | None) -> None:
    out.put_varint(0 if value is None else value + 1)


def _take_optional(source: FieldReader) -> int | None:
    value = source.take_varint()
    return value - 1 if value else None


_BYTES = _FieldType(FieldWriter.put_bytes, _take_bytes)
_TEXT = _FieldType(_put_text, _take_text)
_U32 = _FieldType(_put_u32, _take_u32)
_PAIR = _FieldType(_put_pair, _take_pair)  # two u32
_BYTE = _FieldType(_put_byte, _take_byte)
_FLAG = _FieldType(_put_byte, _take_flag)
_VARINT = _FieldType(FieldWriter.put_varint, FieldReader.take_varint)
_OPTIONAL = _FieldType(_put_optional, _take_optional)  # a varint: 0, or 1 + the number

_Fields = tuple[tuple[str, _FieldType], ...]
_HASHES: _Fields = (("source_hash", _BYTES), ("settings_hash", _BYTES))
# Names and types in the order of the bytes, as SPEC.md has them.
_FRAME_FIELDS: _Fields = (
    ("version", _U32),
    ("openvdb_version", _PAIR),
    ("uuid", _BYTES),
    ("metadata", _BYTES),
    ("source_size", _VARINT),
    ("complete", _FLAG),
)
_GRID_FIELDS: _Fields = (
    ("unique_name", _BYTES),
    ("grid_type", _TEXT),
    ("parent", _BYTES),
    ("metadata", _BYTES),
    ("transform", _BYTES),
    ("content", _BYTES),
    ("half", _FLAG),
    ("storage", _BYTE),
    ("block_offset", _VARINT),
    ("source_size", _VARINT),
    ("topology_of", _VARINT),
    ("leaves", _VARINT),
    ("active_tiles", _VARINT),
    ("active_voxels", _VARINT),
    ("pruned", _OPTIONAL),
)


def _put(out: FieldWriter, fields: _Fields, entry: FrameTable | GridHead) -> None:
    for name, form in fields:
        form.put(out, getattr(entry, name))


def _take(source: FieldReader, fields: _Fields) -> dict[str, Any]:
    return {name: form.take(source) for name, form in fields}


def _take_count(source: FieldReader) -> int:
    """A number of grids. Raises DamagedFile."""
    count = source.take("u32")
    if count > MAX_GRIDS:
        raise source.damaged(f"{count} grids are declared, {MAX_GRIDS} are possible")
    return count


def _take_hashes(source: FieldReader) -> dict[str, bytes]:
    """The fields of _HASHES. Raises DamagedFile."""
    hashes = _take(source, _HASHES)
    for digest in hashes.values():
        if len(digest) not in (0, SHORT_HASH, HASH_SIZE):
            raise source.damaged(f"a hash of {len(digest)} bytes")
    return hashes


def _take_head(source: FieldReader, number: int) -> GridHead:
    """The entry of grid `number`. Raises DamagedFile."""
    fields = _take(source, _GRID_FIELDS)
    storage = fields["storage"]
    if storage > Storage.INSTANCE:
        raise source.damaged(f"grid '{display_name(fields['unique_name'])}' travels in an unknown way ({storage})")
    if bool(fields["parent"]) != (storage == Storage.INSTANCE) and storage != Storage.RAW:
        raise source.damaged(f"grid '{display_name(fields['unique_name'])}' has a tree and shares one, or neither")
    if fields["topology_of"] > number:
        raise source.damaged(f"grid '{display_name(fields['unique_name'])}' takes its topology from a later one")
    return GridHead(**fields | {"storage": Storage(storage)})
