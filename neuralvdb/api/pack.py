"""Archives of many frames: joined from others, taken apart, checked. Nothing is coded."""

from __future__ import annotations

import contextlib
import filecmp
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from neuralvdb.api.jobs import Progress, Task, ignore
from neuralvdb.api.readable import check_readable
from neuralvdb.archive import ArchiveReader, FrameLabel
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import position_of
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import UsageError, naming
from neuralvdb.frame_number import FrameNumber, text_of
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.sequence.pack import PackedFrame, frames_in, in_order, join, label_of, split


@dataclass(frozen=True)
class Source:
    """An archive to take frames from. number: of its frame, if it has one and its name does not say it."""

    path: str
    number: FrameNumber | None = None


@dataclass(frozen=True, kw_only=True)
class PackReport:
    """What packing() did."""

    target: str
    frames: list[str]
    """Numbers."""
    twice: list[str]
    """Numbers of the frames that were there again, and the same."""
    source_size: int
    """Bytes of all .vdb files."""
    archive_size: int
    """Bytes."""
    skipped: bool = False
    """Whether the same archive was there already."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class UnpackReport:
    """What unpacking() did."""

    source: str
    target: str
    archive_size: int
    """Bytes of the archive that was written."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CheckedFrame:
    """A frame that is whole, all checksums right."""

    path: str
    number: str
    content: str
    """What is the same of frames that are the same."""


def check_frames(sources: Sequence[Source]) -> list[FrameLabel]:
    """What the frames of files will be called, which are not read.

    Raises UsageError where a name says no frame, or two frames have one number or name.
    """
    labels = [label_of(source.path, 0, source.number) for source in sources]
    for what in ("number", "name"):
        first: dict[object, str] = {}
        for source, label in zip(sources, labels, strict=True):
            other = first.setdefault(getattr(label, what), source.path)
            if other is not source.path:
                raise UsageError(f"{source.path} and {other} are both frame {text_of(label.number)}; leave one out")
    return labels


@contextlib.contextmanager
def packing(
    sources: Sequence[Source], target: str | os.PathLike[str], *, force: bool, progress: Progress = ignore
) -> Iterator[Task[PackReport]]:
    """The work of joining all frames of archives in one, for any process to do within the block.

    progress: is told of bytes of the .vdb files as they are done, twice: written and checked. Raises UsageError where
    frames have one number and differ, InputError, DamagedFile, Unsupported, OutputExists, OutputError; then `target` is
    as before.
    """
    for source in sources:
        check_readable(source.path)
    with new_file(Path(target), force=force) as output:
        yield Task(functools.partial(_pack, sources, output, progress), writes=[output.temporary])


def _pack(sources: Sequence[Source], output: NewFile, progress: Progress) -> PackReport:
    frames, again = in_order(frame for source in sources for frame in frames_in(source.path, source.number))
    with output.writing() as stream:
        for frame in join(frames, stream):
            progress(frame.label.source_size)
    with ArchiveReader(output.temporary, is_readable) as archive:
        for position, frame in enumerate(frames):
            archive.check(position)
            progress(frame.label.source_size)
    size = output.size()
    same = os.path.isfile(output.target) and filecmp.cmp(output.temporary, output.target, shallow=False)
    if same:
        os.truncate(output.temporary, 0)  # so that the one that is there stays
    return PackReport(
        target=output.target,
        frames=[text_of(frame.label.number) for frame in frames],
        twice=[text_of(frame.label.number) for frame in again],
        source_size=sum(frame.label.source_size for frame in frames),
        archive_size=size,
        skipped=same,
    )


@contextlib.contextmanager
def unpacking(
    path: str, numbers: Sequence[FrameNumber], target: str | os.PathLike[str], *, force: bool
) -> Iterator[Task[UnpackReport]]:
    """The work of writing frames as an archive, for any process to do within the block: one that needs no other, or
    those that need each other. numbers: none where the archive has one frame.

    Raises InputError, DamagedFile, Unsupported, UsageError, OutputExists, OutputError; then `target` is as before.
    """
    check_readable(path)
    with new_file(Path(target), force=force, sources=[path]) as output:
        yield Task(functools.partial(_unpack, path, numbers, output), writes=[output.temporary])


def _unpack(path: str, numbers: Sequence[FrameNumber], output: NewFile) -> UnpackReport:
    with naming(path), ArchiveReader(path, is_readable) as archive:
        positions = [position_of(archive, number) for number in numbers] or [position_of(archive, None)]
        group = range(1) if archive.directory is None else archive.directory.group(positions[0])
        with output.writing() as stream:
            if len(group) == 1:
                split(archive, positions[0], stream)
            else:
                labels = [archive.directory.entry(p).label for p in positions] if archive.directory else []
                frames = [PackedFrame(path, p, label) for p, label in zip(positions, labels, strict=True)]
                for _ in join(in_order(frames)[0], stream):
                    pass
    return UnpackReport(source=path, target=output.target, archive_size=output.size())


def checked(source: Source) -> list[CheckedFrame]:
    """The frames of an archive, all checksums compared. Raises InputError, DamagedFile, Unsupported, UsageError."""
    frames = frames_in(source.path, source.number)
    with ArchiveReader(source.path, is_readable) as archive:
        for frame in frames:
            archive.check(frame.position)
    return [
        CheckedFrame(path=frame.path, number=text_of(frame.label.number), content=frame.digest()) for frame in frames
    ]
