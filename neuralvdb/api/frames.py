"""Which frames are in an archive of many."""

from __future__ import annotations

import os
from dataclasses import asdict

from neuralvdb.api.info import FileInfo, info
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.directory import Directory
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
    needs: list[str]
    """Numbers of the frames that are decoded before it, in this order."""
    group: str
    """Number of the first frame in the file of those that may be decoded from each other."""


def frames_of(path: str | os.PathLike[str]) -> list[FrameInArchive]:
    """The frames of an archive of many in order, none of others. Raises InputError, DamagedFile, Unsupported."""
    with ArchiveReader(path, is_readable) as archive:
        directory = archive.directory
        if directory is None:
            return []
        positions = [directory.find(number) for number in directory.numbers]
        return [_frame_at(directory, position) for position in positions if position is not None]


def _frame_at(directory: Directory, position: int) -> FrameInArchive:
    entry = directory.entry(position)
    return FrameInArchive(
        text_of(entry.label.number),
        os.fsdecode(entry.label.name),
        entry.extent.total,
        entry.label.source_size,
        [text_of(directory.number(needed)) for needed in directory.needs(position)[:-1]],
        text_of(directory.number(directory.group(position).start)),
    )


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
