"""Frames of archives joined in one, and split again; sections are copied, equal ones stored once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import xxhash

from neuralvdb.archive import ArchiveReader, ArchiveWriter, FrameLabel, Section, SequenceWriter
from neuralvdb.archive.directory import check_names
from neuralvdb.archive.formats import is_readable
from neuralvdb.archive.frame_index import shortened
from neuralvdb.codec.index import FrameIndex
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import UsageError
from neuralvdb.frame_number import FrameNumber, number_in, text_of
from neuralvdb.settings import VDB_SUFFIX


@dataclass(frozen=True)
class PackedFrame:
    """A frame in an archive at `path`, where it has a position."""

    path: str
    position: int
    label: FrameLabel

    def digest(self) -> str:
        """What no frame has that differs in its label or in a section. Raises DamagedFile."""
        with ArchiveReader(self.path, is_readable) as archive:
            sections = archive.sections_of(self.position)
        what = [(s.label, s.size, s.raw_size, shortened(s.checksum, s.size)) for s in sections]
        return xxhash.xxh3_128_hexdigest(repr((self.label, what)).encode())


def frames_in(path: str, number: FrameNumber | None = None) -> list[PackedFrame]:
    """The frames of an archive. That of an archive of one frame has its name from the archive's name, and its number
    too where `number` is None.

    Raises InputError, DamagedFile, Unsupported, UsageError where a name says no frame.
    """
    with ArchiveReader(path, is_readable) as archive:
        if archive.directory is not None:
            entries = map(archive.directory.entry, range(len(archive.directory)))
            return [PackedFrame(path, position, entry.label) for position, entry in enumerate(entries)]
        table = FrameIndex(archive).table
    return [PackedFrame(path, 0, label_of(path, table.source_size, number))]


def label_of(path: str, source_size: int, number: FrameNumber | None = None) -> FrameLabel:
    """What the frame in a file is called, a .vdb or an archive; number: None for that in its name.

    Raises UsageError where that says none.
    """
    stem = Path(path).stem
    number = number_in(stem) if number is None else number
    name = os.fsencode(stem + VDB_SUFFIX)
    if number is None:
        raise UsageError(f"{path}: its name says no frame; it is such as smoke.0057{Path(path).suffix}")
    try:
        check_names([name])
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return FrameLabel(number, name, source_size)


def in_order(frames: Iterable[PackedFrame]) -> tuple[list[PackedFrame], list[PackedFrame]]:
    """The frames as they lie in one archive, each once, and those that are there again with the very same sections.

    Raises UsageError where two frames have one number or name, and differ, or a group is not there as it was.
    """
    first: dict[FrameNumber, PackedFrame] = {}
    again = []
    for frame in frames:
        other = first.setdefault(frame.label.number, frame)
        if other is not frame:
            if other.digest() != frame.digest():
                number = text_of(frame.label.number)
                raise UsageError(f"frame {number} is in {other.path} and in {frame.path}, and not the same; leave one")
            again.append(frame)
    ordered, names = _group_by_group(first.values()), dict[bytes, PackedFrame]()
    for frame in ordered:
        other = names.setdefault(frame.label.name, frame)
        if other is not frame:
            name = os.fsdecode(frame.label.name)
            raise UsageError(f"frames of {other.path} and {frame.path} are both called {name}; rename one")
    return ordered, again


def _group_by_group(frames: Iterable[PackedFrame]) -> list[PackedFrame]:
    """Frames in the order of their groups' numbers, and in groups as they lie in their archives. Raises UsageError
    where a group lacks any but its last frames, or others have numbers among its."""
    groups = dict[tuple[str, int], list[PackedFrame]]()
    for frame in frames:
        groups.setdefault((frame.path, frame.position - frame.label.behind), []).append(frame)
    for (_, begin), group in groups.items():
        group.sort(key=lambda frame: frame.position)
        for position, frame in enumerate(group, begin):
            if frame.position != position:
                raise _apart(frame)
    ordered = sorted(groups.values(), key=lambda group: min(frame.label.number for frame in group))
    for group, behind in itertools.pairwise(ordered):
        for frame in group:
            if frame.label.number > min(other.label.number for other in behind):
                raise _apart(frame)
    return [frame for group in ordered for frame in group]


def _apart(frame: PackedFrame) -> UsageError:
    number = text_of(frame.label.number)
    return UsageError(
        f"{frame.path}: frame {number} needs frames of its chunk beside it; give all of that, and no others"
    )


def join(frames: Iterable[PackedFrame], stream: BinaryIO) -> Iterator[PackedFrame]:
    """Writes frames, in the order of their numbers, as one archive; gives each frame when it is written.

    One section at a time is in memory. Raises OutputError, DamagedFile.
    """
    writer = SequenceWriter(stream)
    path, archive = "", None
    try:
        for frame in frames:
            if archive is None or frame.path != path:
                if archive is not None:
                    archive.close()
                path, archive = frame.path, ArchiveReader(frame.path, is_readable)
            for section, payload in _payloads(archive, frame.position):
                writer.add(section.label, payload, raw_size=section.raw_size)
            writer.end_frame(frame.label)
            yield frame
    finally:
        if archive is not None:
            archive.close()
    writer.close()


def split(archive: ArchiveReader, position: int, stream: BinaryIO) -> None:
    """Writes a frame that needs no other as an archive of its own. Raises OutputError, DamagedFile."""
    writer = ArchiveWriter(stream)
    for section, payload in _payloads(archive, position):
        writer.add(section.label, payload, raw_size=section.raw_size)
    writer.close()


def _payloads(archive: ArchiveReader, position: int) -> Iterator[tuple[Section, bytes]]:
    for section in archive.sections_of(position):
        yield section, archive.read(section)
