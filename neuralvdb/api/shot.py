"""From .vdb files to one archive: frames that may be coded from each other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from neuralvdb.api.compress import CompressReport, Encoding, GridInFile
from neuralvdb.api.decoding import decode_all
from neuralvdb.api.jobs import Listeners, Progress, Task
from neuralvdb.api.source import check_readable
from neuralvdb.archive import ArchiveReader, SequenceWriter
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.earlier import FrameBefore
from neuralvdb.codec.encode import EarlierFrames
from neuralvdb.codec.frame import OpenFrames
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.platform import one_blas_thread, return_memory
from neuralvdb.sequence.pack import PackedFrame, join, label_of
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import VdbReader


@dataclass(frozen=True)
class FrameSource:
    """A .vdb file, and the number of the frame that it is."""

    path: str
    number: FrameNumber


@dataclass(frozen=True)
class ShotSoFar:
    """What is there of a shot before some of its frames are coded.

    earlier: an archive that may hold them, which settings.skip_existing takes where they are as new ones would be.
    chunk: how many frames, one after the other, may be coded from each other.
    reusable: grids of other frames by their keys, which are not coded again.
    """

    chunk: int
    earlier: str = ""
    reusable: Mapping[str, GridInFile] = field(default_factory=dict)


@contextlib.contextmanager
def compressing_frames(
    sources: Sequence[FrameSource],
    target: str,
    settings: CompressSettings,
    shot: ShotSoFar,
    listeners: Listeners = Listeners(),
) -> Iterator[Task[list[CompressReport]]]:
    """The work of coding frames, each from the one before it where that pays, as one archive; for any process to do
    within the block. listeners: are told the CompressReport of each when it is coded and checked.

    Raises what compressing() raises, and UsageError where a name says no frame.
    """
    for source in sources:
        check_readable(source.path)
    paths = [source.path for source in sources]
    with new_file(Path(target), force=settings.force or settings.skip_existing, sources=paths) as output:
        job = _Job(sources, output, settings, shot)
        yield Task(functools.partial(job.run, listeners), writes=[output.temporary])


class _Check:
    """Frames of an archive that grows, decoded as they are written."""

    def __init__(self, path: str, encoding: Encoding, progress: Progress) -> None:
        self._path, self._encoding, self._progress = path, encoding, progress
        self._frames: OpenFrames | None = None

    def decode(self, position: int) -> None:
        """Decodes all of the last frame that is there. Raises DamagedFile, PromiseBroken."""
        if self._frames is None:
            context = self._encoding.context
            archive = ArchiveReader(self._path, is_readable)
            self._frames = OpenFrames(archive, models=context.models, devices=context.devices)
        else:
            self._frames.archive.read_head()
        decode_all(self._frames.at(position), self._encoding.settings.threads, self._progress)

    def __enter__(self) -> _Check:
        return self

    def __exit__(self, *_: object) -> None:
        if self._frames is not None:
            self._frames.close()


@dataclass(frozen=True)
class _Job:
    """An archive to write."""

    sources: Sequence[FrameSource]
    output: NewFile
    settings: CompressSettings
    shot: ShotSoFar

    def run(self, listeners: Listeners) -> list[CompressReport]:
        """Encodes, verifies and reports."""
        encoding = Encoding.begin(self.settings, self.shot.chunk)
        if self.settings.skip_existing:
            for path in dict.fromkeys((self.output.target, self.shot.earlier)):
                if path and (reports := self._made(path, encoding)) is not None:
                    return reports
        with one_blas_thread(), self.output.writing() as stream:
            writer = SequenceWriter(stream)
            reports = self._encode(writer, encoding, listeners)
            writer.close()
        return_memory()
        return reports

    def _encode(self, writer: SequenceWriter, encoding: Encoding, listeners: Listeners) -> list[CompressReport]:
        """Writes all frames, and decodes each. Raises PromiseBroken."""
        before, behind, reports = FrameBefore(), 0, list[CompressReport]()
        with _Check(self.output.temporary, encoding, listeners.progress) as check:
            for source in self.sources:
                reader = VdbReader(source.path)
                label = label_of(source.path, reader.size, source.number)
                with naming(reader.path):
                    earlier = EarlierFrames(before, self.shot.reusable)
                    encoded = encoding.write(writer, reader, listeners.note, listeners.progress, earlier)
                behind = 0 if encoded.alone else behind + 1
                size = writer.end_frame(replace(label, behind=behind))
                if self.settings.verify:
                    writer.flush()
                    check.decode(len(reports))
                reports.append(encoding.report(reader, encoded, self.output.target, size))
                listeners.tell(reports[-1])
                before = encoded.before if encoding.context.chunk > 1 else FrameBefore()
        return reports

    def _made(self, path: str, encoding: Encoding) -> list[CompressReport] | None:
        """What is in an archive, where frames of it are as this job would write them; others of it are left out."""
        try:
            models = encoding.context.models
            with contextlib.closing(OpenFrames(ArchiveReader(path, is_readable), models=models)) as frames:
                archive, directory = frames.archive, frames.archive.directory
                positions = [] if directory is None else [self._find(archive, source) for source in self.sources]
                first = positions[0] if positions else -1
                if directory is None or positions != list(range(first, first + len(positions))) or first < 0:
                    return None
                if directory.group(first).start != first or directory.group(positions[-1]).stop > positions[-1] + 1:
                    return None
                if path == self.output.target and len(directory) > len(positions):
                    return None
                reports = []
                for position, source in zip(positions, self.sources, strict=True):
                    report = encoding.made(frames.at(position), VdbReader(source.path), self.output.target)
                    if report is None:
                        return None
                    archive.check(position)
                    reports.append(report)
                labels = [directory.entry(position).label for position in positions]
        except NeuralVdbError:  # there is none, or it is damaged, or no archive
            return None
        if path != self.output.target:
            packed = [PackedFrame(path, position, label) for position, label in zip(positions, labels, strict=True)]
            with self.output.writing() as stream:
                for _ in join(packed, stream):
                    pass
        return reports

    @staticmethod
    def _find(archive: ArchiveReader, source: FrameSource) -> int:
        """The position of a frame; -1 where there is none of that name and number."""
        label, directory = label_of(source.path, 0, source.number), archive.directory
        position = None if directory is None else directory.find(label.number)
        if directory is None or position is None or directory.entry(position).label.name != label.name:
            return -1
        return position
