"""What is in a file, and which grids take the space."""

from __future__ import annotations

import os
from dataclasses import asdict, field, replace

from neuralvdb.api.promises import PromiseDescription, promise_of
from neuralvdb.api.source import is_archive
from neuralvdb.archive.formats import form_of
from neuralvdb.codec.frame import FrameReader
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.vdb import VdbReader, describe_metadata, describe_transform
from neuralvdb.vdb.files import Entry, Outline
from neuralvdb.volume.grid import Storage, display_name

Corners = tuple[tuple[int, int, int], tuple[int, int, int]]
Metadata = dict[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class GridInfo:
    """One grid. Counts are None where they are unknown without reading values, and for unknown types."""

    name: str
    type: str
    grid_class: str
    """OpenVDB's: fog volume, level set, staggered or unknown."""
    half: bool
    """Whether values are saved as half."""
    instance_of: str
    """The grid whose tree it shares; empty where it has its own."""
    voxel_size: tuple[float, float, float] | None
    """World units."""
    leaves: int | None = None
    active_voxels: int | None = None
    active_tiles: int | None = None
    active_bbox: Corners | None = None
    """Both corners included, in voxels of index space."""
    bytes: dict[str, int]
    """Bytes on disk of each kind of data: topology, values, data."""
    metadata: Metadata
    """{name: (OpenVDB type, text)}."""
    transform: str
    promise: PromiseDescription | None = None
    """What is promised where values are not lossless."""
    pruned: int | None = None
    """Voxels whose active state changed; None where the topology is exact."""
    references: list[list[str]] = field(default_factory=list)
    """Grids that its values are coded by: those that they resemble, each with the velocities that move it."""

    @property
    def total(self) -> int:
        """Bytes on disk."""
        return sum(self.bytes.values())


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file."""

    path: str
    kind: str
    """vdb or archive."""
    size: int
    """Bytes."""
    version: str
    metadata: Metadata
    """{name: (OpenVDB type, text)}."""
    source_size: int | None = None
    """Bytes of the .vdb file that an archive was made from."""
    overhead: int
    """Bytes that belong to no grid."""
    missing_priors: str | None = None
    """The name of priors that decoding needs and that are neither shipped nor in the archive."""
    grids: list[GridInfo]
    left_out: list[str] = field(default_factory=list)
    """Names of the grids of the .vdb file that an archive was made without."""

    def as_dict(self) -> dict[str, object]:
        """For JSON. Metadata, which may be large, is not copied."""
        told = asdict(replace(self, metadata={}, grids=[replace(grid, metadata={}) for grid in self.grids]))
        told["metadata"] = self.metadata
        for entry, grid in zip(told["grids"], self.grids, strict=True):
            entry["metadata"] = grid.metadata
        return told


def info(path: str | os.PathLike[str], number: FrameNumber | None = None) -> FileInfo:
    """FileInfo of a .vdb file or a frame of an archive; values are not decoded. number: as FrameReader has it.

    Raises InputError, DamagedFile, Unsupported, UsageError.
    """
    path = os.fspath(path)
    with naming(path):
        return _archive_info(path, number) if is_archive(path) else _vdb_info(path)


def _vdb_info(path: str) -> FileInfo:
    reader = VdbReader(path)
    grids = [_vdb_grid(entry, reader.outline(index)) for index, entry in enumerate(reader.entries)]
    return FileInfo(
        path=path,
        kind="vdb",
        size=reader.size,
        version=f"OpenVDB {reader.openvdb_version[0]}.{reader.openvdb_version[1]}, file version {reader.version}",
        metadata=describe_metadata(reader.metadata),
        overhead=reader.size - sum(grid.total for grid in grids),
        grids=grids,
    )


def _vdb_grid(entry: Entry, outline: Outline) -> GridInfo:
    counted = outline.known and not entry.parent
    topology, values = entry.block_pos - entry.grid_pos, entry.end_pos - entry.block_pos
    text = _describe(entry.name, outline.metadata, outline.transform) if outline.known else _UNKNOWN
    return GridInfo(
        name=entry.name,
        type=entry.grid_type,
        grid_class=text.grid_class,
        half=outline.half if outline.known else entry.half,
        instance_of=display_name(entry.parent),
        voxel_size=text.voxel_size,
        leaves=outline.leaves if counted else None,
        active_voxels=outline.active_voxels if counted else None,
        active_tiles=outline.active_tiles if counted else None,
        active_bbox=outline.active_bbox if counted else None,
        bytes={"topology": topology, "values": values} if counted else {"data": topology + values},
        metadata=text.metadata,
        transform=text.transform,
    )


def _archive_info(path: str, number: FrameNumber | None) -> FileInfo:
    with FrameReader(path, number) as frame:
        table, size = frame.table, frame.size
        grids = [_archive_grid(frame, index) for index in range(len(table.grids))]
    major, minor = table.openvdb_version
    container = 1 if frame.archive.directory is None else 2
    missing = [grid.promise.priors for grid in grids if grid.promise is not None and grid.promise.fast is None]
    return FileInfo(
        path=path,
        kind="archive",
        size=size,
        version=f"archive {container}, from OpenVDB {major}.{minor}, file version {table.version}",
        metadata=describe_metadata(table.metadata),
        source_size=table.source_size,
        overhead=size - sum(grid.total for grid in grids),
        missing_priors=missing[0] if missing else None,
        grids=grids,
        left_out=[display_name(name) for name in table.left_out],
    )


def _archive_grid(frame: FrameReader, index: int) -> GridInfo:
    head, sizes, reference = frame.grids[index], dict[str, int](), frame.index.references.get(index)
    moved = () if reference is None else reference.moved
    for kind, size in frame.index.sizes(index).items():
        content = form_of(kind).content
        sizes[content] = sizes.get(content, 0) + size
    counted = head.storage is Storage.TREE or bool(head.leaves or head.active_tiles)
    text = _describe(head.name, head.metadata, head.transform) if head.metadata else _UNKNOWN
    return GridInfo(
        name=head.name,
        type=head.grid_type,
        grid_class=text.grid_class,
        half=head.half,
        instance_of=display_name(head.parent),
        voxel_size=text.voxel_size,
        leaves=head.leaves if counted else None,
        active_voxels=head.active_voxels if counted else None,
        active_tiles=head.active_tiles if counted else None,
        bytes=sizes,
        metadata=text.metadata,
        transform=text.transform,
        promise=promise_of(frame, index),
        pruned=head.pruned,
        references=[[frame.before.name(grid) for grid in (m.source, *m.velocities)] for m in moved],
    )


@dataclass(frozen=True)
class _Text:
    """What a grid's metadata and transform say."""

    metadata: Metadata
    transform: str
    voxel_size: tuple[float, float, float] | None

    @property
    def grid_class(self) -> str:
        """OpenVDB's class of the grid."""
        return self.metadata.get("class", ("string", "unknown"))[1]


_UNKNOWN = _Text({}, "", None)


def _describe(name: str, metadata: bytes, transform: bytes) -> _Text:
    """What those of the grid called `name` say."""
    with naming(f"grid '{name}'"):
        described = describe_transform(transform)
        return _Text(describe_metadata(metadata), described.text, described.voxel_size)
