"""What is in a file, and who eats the disk."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

from neuralvdb.api.source import is_archive
from neuralvdb.archive.formats import form_of
from neuralvdb.codec.decode import FrameReader
from neuralvdb.vdb import VdbReader, describe_metadata, describe_transform
from neuralvdb.volume.grid import display_name


@dataclass
class GridInfo:
    """One grid. voxel_size in world units; promise: what is promised of values that are not lossless, the lattice that
    holds them, the priors of its networks and whether they are fast ones; pruned: voxels whose active state changed,
    None where the topology is exact; bytes: kind of data -> bytes on disk; None where unknown without reading values or
    for types that this OpenVDB does not know."""

    name: str
    type: str
    grid_class: str
    half: bool
    instance_of: str
    voxel_size: tuple[float, float, float] | None
    leaves: int | None
    active_voxels: int | None
    active_tiles: int | None
    active_bbox: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    bytes: dict[str, int]
    metadata: dict[str, tuple[str, str]]
    transform: str
    promise: dict[str, object] | None = None
    pruned: int | None = None

    @property
    def total(self) -> int:
        """Bytes on disk."""
        return sum(self.bytes.values())


@dataclass
class FileInfo:
    """A file. size and source_size (archives only) in bytes; overhead: bytes that belong to no grid; missing_priors:
    the name of priors that decoding needs and that are neither shipped nor carried."""

    path: str
    kind: str
    size: int
    version: str
    metadata: dict[str, tuple[str, str]]
    source_size: int | None = None
    overhead: int = 0
    missing_priors: str | None = None
    grids: list[GridInfo] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def info(path: str | os.PathLike[str]) -> FileInfo:
    """FileInfo of a .vdb file or an archive; values are not decoded. Raises InputError, DamagedFile, Unsupported."""
    path = os.fspath(path)
    found = _archive_info(path) if is_archive(path) else _vdb_info(path)
    found.overhead = found.size - sum(grid.total for grid in found.grids)
    return found


def _vdb_info(path: str) -> FileInfo:
    reader = VdbReader(path)
    version = f"OpenVDB {reader.library[0]}.{reader.library[1]}, file version {reader.version}"
    found = FileInfo(path, "vdb", reader.size, version, describe_metadata(reader.metadata))
    for index, entry in enumerate(reader.entries):
        outline = reader.outline(index)
        size = {"topology": entry.block_pos - entry.grid_pos, "values": entry.end_pos - entry.block_pos}
        counts = (outline.leaves, outline.active_voxels, outline.active_tiles, outline.active_bbox)
        if entry.parent or not outline.known:
            size = {"data": entry.end_pos - entry.grid_pos}
            counts = (None, None, None, None)
        described = _described(outline.metadata, outline.transform) if outline.known else _UNDESCRIBED
        found.grids.append(_grid(entry.name, entry.grid_type, entry.half, entry.parent, counts, size, described))
    return found


def _archive_info(path: str) -> FileInfo:
    with FrameReader(path) as frame:
        table = frame.table
        version = f"archive 1, from OpenVDB {table.library[0]}.{table.library[1]}, file version {table.version}"
        found = FileInfo(
            path, "archive", frame.archive.size, version, describe_metadata(table.metadata), table.source_size
        )
        for index, head in enumerate(table.grids):
            counts = (
                (head.leaves, head.active_voxels, head.active_tiles, None)
                if head.leaves or head.active_tiles
                else _NONE
            )
            size: dict[str, int] = {}
            for kind, count in frame.sizes(index).items():
                content = form_of(kind).content
                size[content] = size.get(content, 0) + count
            described = _described(head.metadata, head.transform) if head.metadata else _UNDESCRIBED
            grid = _grid(head.name, head.grid_type, head.half, head.parent, counts, size, described)
            grid.promise = frame.described(index)
            if grid.promise is not None and grid.promise["fast"] is None:
                found.missing_priors = found.missing_priors or grid.promise["priors"]
            grid.pruned = head.pruned
            found.grids.append(grid)
    return found


_NONE = (None, None, None, None)
_UNDESCRIBED: tuple[dict, dict] = ({}, {"voxel_size": None, "text": ""})


def _described(metadata: bytes, transform: bytes) -> tuple[dict, dict]:
    return describe_metadata(metadata), describe_transform(transform)


def _grid(name: str, kind: str, half: bool, parent: bytes, counts: tuple, size: dict, described: tuple) -> GridInfo:
    metadata, transform = described
    grid_class = metadata.get("class", ("string", "unknown"))[1]
    parent_name = display_name(parent)
    return GridInfo(
        name, kind, grid_class, half, parent_name, transform["voxel_size"], *counts, size, metadata, transform["text"]
    )
