"""From .vdb files to one archive: frames that may be coded from each other."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from neuralvdb.api.compress import CompressReport, Encoding, GridInFile
from neuralvdb.api.decoding import decode_all
from neuralvdb.api.jobs import Listeners, Task
from neuralvdb.api.readable import check_readable
from neuralvdb.archive import ArchiveReader, FrameLabel, SequenceWriter
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.check import reading_back
from neuralvdb.codec.earlier import EarlierFrames, EncodedBefore
from neuralvdb.codec.encode import EncodedFrame, FrameOutput
from neuralvdb.codec.frame import OpenFrames
from neuralvdb.codec.group_tables import FirstTables
from neuralvdb.codec.slow_motion import is_slow
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.platform import one_blas_thread, return_memory
from neuralvdb.sequence.order import SPAN, OrderedFrame, both_sides, chain, still_needed
from neuralvdb.sequence.pack import PackedFrame, join, label_of
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import VdbReader

if TYPE_CHECKING:
    from neuralvdb.fit.fine_tune_group import GroupTuning


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
    """The work of coding frames, from each other where that pays, as one archive; for any process to do
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
    """Frames of an archive that grows: decoded as they are written, then told of."""

    def __init__(self, path: str, encoding: Encoding, listeners: Listeners) -> None:
        self._path, self._encoding, self._listeners = path, encoding, listeners
        self._frames: OpenFrames | None = None

    def end(self, position: int, report: CompressReport) -> None:
        """Decodes all of a frame where that is asked for, and tells of it. Raises PromiseBroken."""
        if self._encoding.settings.verify:
            with reading_back(self._path):
                self._decode(position)
        self._listeners.tell(report)

    def _decode(self, position: int) -> None:
        if self._frames is None:
            context = self._encoding.context
            archive = ArchiveReader(self._path, is_readable)
            self._frames = OpenFrames(archive, models=context.models, devices=context.devices)
        else:
            self._frames.archive.read_head()
        decode_all(self._frames.at(position), self._encoding.settings.threads, self._listeners.progress)

    def __enter__(self) -> _Check:
        return self

    def __exit__(self, *_: object) -> None:
        if self._frames is not None:
            self._frames.close()


class _Group:
    """The frames of a group, those that later ones need as they are coded from."""

    def __init__(self, *, joins: bool) -> None:
        self._joins = joins
        self._before: dict[int, EncodedBefore] = {}  # by its number in the group
        self._positions: dict[int, int] = {}  # in the file, likewise
        self._tables: FirstTables | None = None
        self._behind = 0  # frames of the group that are written

    def earlier(self, frame: OrderedFrame) -> EarlierFrames:
        """What a frame may be coded from."""
        before = tuple(self._before[at] for at in frame.sources)
        return EarlierFrames(before, self._tables if before else None, joins=self._joins)

    def add(self, frame: OrderedFrame, encoded: EncodedFrame, label: FrameLabel) -> FrameLabel:
        """Takes a frame, whose label it completes."""
        position = len(self._positions)
        self._behind = 0 if encoded.alone else self._behind + 1
        self._before[frame.at], self._positions[frame.at] = encoded.before, position
        self._tables = encoded.tables
        back = [0, 0]
        for number in encoded.uses:
            back[number - 1] = position - self._positions[frame.sources[number - 1]]
        return replace(label, behind=self._behind, back=(back[0], back[1]))

    def let_go(self, needed: set[int]) -> None:
        """Keeps what these frames are coded from, and nothing else."""
        self._before = {at: before for at, before in self._before.items() if at in needed}


@dataclass(frozen=True)
class _Written:
    """What was written: reports in the order of the file by the frames' numbers in the group, and bytes."""

    in_file: dict[int, CompressReport]
    size: int

    @property
    def reports(self) -> list[CompressReport]:
        """In the order of the frames."""
        return [self.in_file[at] for at in sorted(self.in_file)]


@dataclass(frozen=True)
class _Run:
    """Where frames are written, how they are encoded, and in which order."""

    stream: BinaryIO
    encoding: Encoding
    order: Sequence[OrderedFrame]


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
        fine_tunes = encoding.context.chunk > 1 and len(self.sources) > 1 and self.settings.effort > 0
        if fine_tunes:
            encoding = replace(encoding, context=replace(encoding.context, tuned_to=self._made_of()))
        if self.settings.skip_existing:
            for path in dict.fromkeys((self.output.target, self.shot.earlier)):
                if path and (reports := self._made(path, encoding)) is not None:
                    return reports
        with one_blas_thread(), self.output.writing() as stream:
            run = _Run(stream, encoding, self._order(encoding))
            if fine_tunes:
                reports = self._fine_tune(run, listeners)
            else:
                with _Check(self.output.temporary, encoding, listeners) as check:
                    reports = self._encode(run, listeners, check=check).reports
        return_memory()
        return reports

    def _made_of(self) -> bytes:
        """What no other frames have."""
        return b"".join(VdbReader(source.path).hash_bytes() for source in self.sources)

    def _fine_tune(self, run: _Run, listeners: Listeners) -> list[CompressReport]:
        """Writes all frames, again with networks fine-tuned to all of them where that takes fewer bytes, then decodes
        each."""
        from neuralvdb.fit.fine_tune_group import GroupObserver  # only encoders that fine-tune need it

        observer = GroupObserver(len(self.sources), self.settings.fine_tuning)
        half = Listeners(progress=lambda amount: listeners.progress(amount // 2))
        baseline = written = self._encode(run, replace(half, note=listeners.note), observer)
        networks = observer.networks()
        if networks is not None:
            written = self._encode(run, half, networks)
            if written.size >= baseline.size:
                written = self._encode(run, Listeners(), observer)  # as it was
        run.stream.flush()
        with _Check(self.output.temporary, run.encoding, listeners) as check:
            for position, report in enumerate(written.in_file.values()):
                check.end(position, report)
        return written.reports

    def _encode(
        self,
        run: _Run,
        listeners: Listeners,
        tuning: GroupTuning | None = None,
        *,
        check: _Check | None = None,
    ) -> _Written:
        """Writes all frames, over what is in the stream, and ends the check of each. Raises PromiseBroken."""
        stream, encoding, order = run.stream, run.encoding, run.order
        stream.seek(0)
        stream.truncate()
        joins = any(len(frame.sources) > 1 for frame in order)
        writer, group, reports = SequenceWriter(stream), _Group(joins=joins), dict[int, CompressReport]()
        for position, frame in enumerate(order):
            source = self.sources[frame.at]
            reader = VdbReader(source.path)
            label = label_of(source.path, reader.size, source.number)
            with naming(reader.path):
                of_frame = None if tuning is None else functools.partial(tuning.of_grid, position)
                earlier = replace(group.earlier(frame), reusable=self.shot.reusable, tuning=of_frame)
                encoded = encoding.write(FrameOutput(writer, listeners.progress), reader, listeners.note, earlier)
            size = writer.end_frame(group.add(frame, encoded, label))
            group.let_go(still_needed(order[position + 1 :]))
            reports[frame.at] = report = encoding.report(reader, encoded, self.output.target, size)
            if check is not None:
                if self.settings.verify:
                    writer.flush()
                check.end(position, report)
        return _Written(reports, writer.close())

    def _order(self, encoding: Encoding) -> list[OrderedFrame]:
        """The order in which frames are coded."""
        count = len(self.sources)
        if encoding.context.chunk == 1:
            return [OrderedFrame(at) for at in range(count)]
        if count <= SPAN:
            return chain(count)
        first, last = (encoding.grids(VdbReader(self.sources[at].path)) for at in (0, SPAN))
        return both_sides(count) if is_slow(first, last, self.settings) else chain(count)

    def _made(self, path: str, encoding: Encoding) -> list[CompressReport] | None:
        """What is in an archive, where frames of it are as this job would write them; others of it are left out."""
        try:
            models = encoding.context.models
            with contextlib.closing(OpenFrames(ArchiveReader(path, is_readable), models=models)) as frames:
                archive, directory = frames.archive, frames.archive.directory
                positions = [] if directory is None else [self._find(archive, source) for source in self.sources]
                first, end = min(positions, default=-1), max(positions, default=-1) + 1
                if directory is None or sorted(positions) != list(range(first, end)) or first < 0:
                    return None
                if directory.group(first).start != first or directory.group(end - 1).stop > end:
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
                for _ in join(sorted(packed, key=lambda frame: frame.position), stream):
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
