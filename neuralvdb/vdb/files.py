"""Reading and writing .vdb files through the OpenVDB library."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile, OutputError, Unsupported, unreadable
from neuralvdb.file_kinds import HEAD, VDB, other_kind
from neuralvdb.new_file import new_file
from neuralvdb.platform import file_state, open_ordinary
from neuralvdb.vdb import _bridge
from neuralvdb.volume.grid import InnerLevel, LeafLevel, Root, Storage, Tree, VolumeGrid, display_name

COMPRESSIONS = ("blosc", "zip", "none")
NIL_UUID = b"00000000-0000-0000-0000-000000000000"
FILE_VERSION: int = _bridge.FILE_VERSION
_NEWEST_VERSION: int = _bridge.NEWEST_VERSION


@dataclass(frozen=True)
class Entry:
    """What the file's table says of one grid. Positions are bytes from the start of the file. half: metadata
    decide where they can be read."""

    unique_name: bytes
    grid_type: str
    parent: bytes
    half: bool
    grid_pos: int
    block_pos: int
    end_pos: int

    @property
    def name(self) -> str:
        """The name for people."""
        return display_name(self.unique_name)


@dataclass(frozen=True)
class Outline:
    """A grid without its values. `known` is false for types this OpenVDB lacks; then nothing else is set.
    active_bbox: inclusive index-space corners (voxels), None where nothing is active."""

    known: bool
    compression: str
    half: bool
    metadata: bytes
    transform: bytes
    leaves: int
    active_voxels: int
    active_tiles: int
    active_bbox: tuple[tuple[int, int, int], tuple[int, int, int]] | None


@dataclass(frozen=True, kw_only=True)
class TransformDescription:
    """A transform. type: OpenVDB's name of its map; voxel_size: edges in world units; text: for people; matrix: 16
    numbers, the rows of a matrix that takes (x, y, z, 1) in voxels to world units from its left, none where the
    transform is not linear."""

    type: str
    voxel_size: tuple[float, float, float]
    text: str
    matrix: tuple[float, ...]


def hash_file(path: str) -> bytes:
    """XXH3-128 of a file's bytes; nothing where it cannot be read."""
    state = xxhash.xxh3_128()
    try:
        with open_ordinary(path) as file:
            while data := file.read(1 << 20):
                state.update(data)
    except OSError:
        return b""
    return state.digest()


class VdbReader:
    """A .vdb file, read grid by grid.

    Raises InputError where it cannot be opened, DamagedFile where its bytes are not a VDB file or end before
    they should, Unsupported where its file version is not 222 to 225. A badly damaged file can crash the OpenVDB
    library itself, so programs that read unknown files do it in a child process (as `nvdb` does).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._state = file_state(self.path)
        self._reader = self._open()
        self.version: int = self._reader.version
        self.openvdb_version: tuple[int, int] = self._reader.library
        self.uuid: bytes = self._reader.uuid
        self.metadata: bytes = self._reader.metadata
        self.size: int = self._reader.size
        self.entries = [_entry(raw) for raw in self._reader.grids]

    def read(self, index: int) -> VolumeGrid:
        """The grid at `index`. Raises DamagedFile, and Unsupported for a type that cannot even be carried unread."""
        entry = self.entries[index]
        try:
            raw = self._reader.read(index)
        except _bridge.UnsupportedError as error:
            raise self._unsupported(error) from error
        except _bridge.DamagedError as error:
            raise self._damaged(error) from error
        return VolumeGrid(
            unique_name=entry.unique_name,
            grid_type=entry.grid_type,
            half=raw["half"],
            storage=Storage[raw["storage"].upper()],
            parent=entry.parent,
            metadata=raw["metadata"],
            transform=raw["transform"],
            tree=tree_of(raw["tree"]) if "tree" in raw else None,
            blob=raw["blob"],
            block_offset=entry.block_pos - entry.grid_pos,
        )

    def hash_bytes(self) -> bytes:
        """XXH3-128 of the file's bytes; nothing where it is gone or was changed since it was opened."""
        digest = hash_file(self.path)
        return digest if self._state is not None and file_state(self.path) == self._state else b""

    def outline(self, index: int) -> Outline:
        """Everything about the grid at `index` but its values. Raises DamagedFile."""
        try:
            return Outline(**self._reader.outline(index))
        except _bridge.DamagedError as error:
            raise self._damaged(error) from error

    def _open(self) -> _bridge.Reader:
        try:
            return _bridge.Reader(self.path)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except _bridge.UnsupportedError as error:
            raise self._unsupported(error) from error
        except _bridge.DamagedError as error:
            with open_ordinary(self.path) as file:
                kind = other_kind(file.read(HEAD), VDB)
            if kind is None:
                raise self._damaged(error) from error
            raise DamagedFile(f"{self.path}: damaged or not a VDB file: {kind}") from error

    def __iter__(self) -> Iterator[VolumeGrid]:
        return (self.read(i) for i in range(len(self.entries)))

    def _unsupported(self, error: Exception) -> Unsupported:
        return Unsupported(f"{self.path}: {error}")

    def _damaged(self, error: Exception) -> DamagedFile:
        return DamagedFile(f"{self.path}: damaged or not a VDB file: {error}; restore or re-export it")


class VdbWriter:
    """Writes a .vdb file of `count` grids, one after another. Raises OutputError where bytes do not reach the disk,
    DamagedFile where OpenVDB could not read the metadata, and Unsupported for a version that is not known yet.

    file: an empty one, for reading and writing, which stays open until close(); messages call it by its `name`. uuid:
    36 characters; metadata: file-level, OpenVDB's serialised bytes; compression: blosc, zip or none (zip falls back to
    none on level sets and fog volumes, OpenVDB's own rule); version: the file version to declare, newer than this
    library's only where raw grids of such a file are written.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        metadata: bytes,
        count: int,
        uuid: bytes,
        compression: str = "blosc",
        version: int = FILE_VERSION,
    ) -> None:
        if len(uuid) != len(NIL_UUID) or count < 0:
            raise ValueError(f"a file has a uuid of {len(NIL_UUID)} characters and at least 0 grids")
        if version > _NEWEST_VERSION:
            raise Unsupported(f"{file.name}: file version {version} cannot be written; upgrade neuralvdb")
        self.path, self._file = file.name, file
        self._trees: dict[int, tuple[weakref.ref[Tree], int]] = {}  # those written, with their numbers, by id()
        try:
            self._writer = _bridge.Writer(file.fileno(), metadata, count, uuid, compression, version)
        except OSError as error:
            raise self._failed(error) from error
        except _bridge.DamagedError as error:
            raise DamagedFile(f"metadata of the file cannot be read: {error}; get another copy") from error

    def write(self, grid: VolumeGrid) -> None:
        """Adds one grid. Raises OutputError, and DamagedFile where OpenVDB refuses the grid's bytes."""
        entry = {
            "unique_name": grid.unique_name,
            "type": grid.grid_type.encode(),
            "parent": grid.parent,
            "half": grid.half,
        }
        head = (entry, grid.metadata, grid.transform)
        try:
            if grid.tree is not None:
                self._write_tree(entry, grid, grid.tree)
            elif grid.storage is Storage.INSTANCE:
                self._writer.write_instance(*head)
            elif grid.storage is Storage.SERIAL:
                self._writer.write_serial(*head, grid.blob)
            else:
                self._writer.write_raw(entry, grid.blob, grid.block_offset)
        except OSError as error:
            raise self._failed(error) from error
        except _bridge.DamagedError as error:
            raise _refused(grid.name, error) from error

    def _write_tree(self, entry: dict[str, object], grid: VolumeGrid, tree: Tree) -> None:
        """Writes a grid of that tree; the bytes of one that was written before are copied where they are the same."""
        head = entry, grid.metadata, grid.transform
        written, number = self._trees.get(id(tree), (None, 0))
        if written is None or written() is not tree or not self._writer.write_again(*head, number):
            self._trees[id(tree)] = weakref.ref(tree), self._writer.write_tree(*head, arrays_of(tree))

    def write_mask(self, grid: VolumeGrid, masks: dict[str, np.ndarray]) -> None:
        """Adds a mask grid: what is active in a tree with these arrays, named as those of Topology; of an instance, one
        that shares the mask of its parent.

        grid: its name, parent, metadata and transform count. Raises OutputError, and DamagedFile as write() does.
        """
        entry = {"unique_name": grid.unique_name, "type": b"Tree_mask_5_4_3", "parent": grid.parent, "half": False}
        try:
            self._writer.write_mask(entry, grid.metadata, grid.transform, masks)
        except OSError as error:
            raise self._failed(error) from error
        except _bridge.DamagedError as error:
            raise _refused(grid.name, error) from error

    def close(self) -> None:
        """Flushes. Raises OutputError."""
        try:
            self._writer.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written: {error.strerror}")


def write_vdb(path: str | os.PathLike[str], grids: Iterable[VolumeGrid], *, compression: str = "blosc") -> None:
    """Writes `grids` to a new .vdb file at `path`, overwriting it.

    Raises OutputExists where `path` is no ordinary file, OutputError, DamagedFile where OpenVDB refuses a grid's bytes,
    and ValueError where an instance shares the tree of a grid that is not among them or has none, and where arrays are
    no tree; then `path` is as before.
    """
    grids = list(grids)
    with_tree = {grid.unique_name for grid in grids if grid.storage is not Storage.INSTANCE}
    for grid in grids:
        if grid.storage is Storage.INSTANCE and grid.parent not in with_tree:
            raise ValueError(f"grid '{grid.name}' shares the tree of '{display_name(grid.parent)}', which has none")
    metadata = _bridge.make_metadata({})
    with new_file(Path(path), force=True) as output, output.open() as file:
        writer = VdbWriter(file, metadata=metadata, count=len(grids), uuid=NIL_UUID, compression=compression)
        for grid in grids:
            writer.write(grid)
        writer.close()


def describe_metadata(metadata: bytes) -> dict[str, tuple[str, str]]:
    """{name: (OpenVDB type, text)} of serialised metadata. Raises DamagedFile."""
    try:
        items = _bridge.describe_metadata(metadata)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"metadata cannot be read: {error}; get another copy") from error
    kinds = {kind: _text(kind) for kind in {kind for kind, _ in items.values()}}  # few, entries may be many
    return {_text(name): (kinds[kind], _text(value)) for name, (kind, value) in items.items()}


@functools.lru_cache(maxsize=16)  # grids of a file mostly share one
def describe_transform(transform: bytes) -> TransformDescription:
    """What a serialised transform says. Raises DamagedFile."""
    try:
        return TransformDescription(**_bridge.describe_transform(transform))
    except _bridge.DamagedError as error:
        raise DamagedFile(f"a transform cannot be read: {error}; get another copy") from error


def set_threads(count: int) -> None:
    """Limits the threads that OpenVDB uses."""
    _bridge.set_threads(count)


def _refused(name: str, error: Exception) -> DamagedFile:
    return DamagedFile(f"OpenVDB refuses grid '{name}': {error}; get another copy of what it comes from")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _entry(raw: dict) -> Entry:
    return Entry(
        raw["unique_name"],
        _text(raw["type"]),
        raw["parent"],
        raw["half"],
        raw["grid_pos"],
        raw["block_pos"],
        raw["end_pos"],
    )


def tree_of(raw: dict[str, np.ndarray]) -> Tree:
    """The tree of the bridge's arrays."""
    root = Root(raw["background"][0], raw["child_origins"], raw["tile_origins"], raw["tile_active"], raw["tile_values"])
    return Tree(
        root,
        InnerLevel(raw["upper_child"], raw["upper_active"], raw["upper_values"]),
        InnerLevel(raw["lower_child"], raw["lower_active"], raw["lower_values"]),
        LeafLevel(raw["leaf_active"], raw["leaf_values"]),
    )


def arrays_of(tree: Tree) -> dict[str, np.ndarray]:
    """The bridge's arrays of a tree."""
    root = tree.root
    return {
        "background": np.asarray(root.background)[None],
        "child_origins": root.child_origins,
        "tile_origins": root.tile_origins,
        "tile_active": root.tile_active,
        "tile_values": root.tile_values,
        "upper_child": tree.upper.child,
        "upper_active": tree.upper.active,
        "upper_values": tree.upper.values,
        "lower_child": tree.lower.child,
        "lower_active": tree.lower.active,
        "lower_values": tree.lower.values,
        "leaf_active": tree.leaf.active,
        "leaf_values": tree.leaf.values,
    }
