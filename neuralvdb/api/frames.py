"""Which frames are in an archive of many."""

from __future__ import annotations

import os
from dataclasses import asdict

from neuralvdb.api.info import FileInfo, info
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.dataclass import dataclass
from neuralvdb.frame_number import number_of, text_of


@dataclass(frozen=True)
class FrameInArchive:
    """A frame of an archive of many."""

    number: str
    """Such as 57 or 1001.25."""
    name: str
    """Of its .vdb file."""
    size: int
    """Bytes that are only this frame's."""
    source_size: int
    """Bytes of its .vdb file."""
    behind: int
    """Frames before it that it may be decoded from."""


def frames_of(path: str | os.PathLike[str]) -> list[FrameInArchive]:
    """The frames of an archive of many, none of other archives. Raises InputError, DamagedFile, Unsupported."""
    with ArchiveReader(path, is_readable) as archive:
        directory = archive.directory
        entries = [] if directory is None else map(directory.entry, range(len(directory)))
        return [
            FrameInArchive(
                text_of(entry.label.number),
                os.fsdecode(entry.label.name),
                entry.extent.total,
                entry.label.source_size,
                entry.label.behind,
            )
            for entry in entries
        ]


@dataclass(frozen=True, kw_only=True)
class SequenceInfo:
    """An archive of many frames."""

    path: str
    size: int
    """Bytes."""
    source_size: int
    """Bytes of all .vdb files."""
    frames: list[FrameInArchive]
    first: FileInfo
    """The first frame."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "first": self.first.as_dict()}


def sequence_info(path: str) -> SequenceInfo:
    """What is in an archive of many frames. Raises InputError, DamagedFile, Unsupported."""
    frames = frames_of(path)
    return SequenceInfo(
        path=path,
        size=os.stat(path).st_size,
        source_size=sum(frame.source_size for frame in frames),
        frames=frames,
        first=info(path, number_of(frames[0].number)),
    )
