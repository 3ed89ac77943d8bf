"""From .vdb to .neuralvdb."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb import devices, values
from neuralvdb.api.jobs import Note, Progress, Runner, Task, ignore, run_here
from neuralvdb.api.promises import PromiseDescription, describe, promise_of
from neuralvdb.api.readable import check_readable
from neuralvdb.api.source import check_names, select, without
from neuralvdb.archive import ArchiveWriter
from neuralvdb.codec.check import FrameCheck, reading_back
from neuralvdb.codec.earlier import EarlierFrames
from neuralvdb.codec.encode import EncodedFrame, FrameOutput, encode_frame
from neuralvdb.codec.frame import Frame, FrameReader
from neuralvdb.codec.models import models_for
from neuralvdb.codec.reusable import GridInFile as GridInFile
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, NoSuchGrid, naming
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.platform import one_blas_thread
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import GridFile, GridsInMemory, VdbReader, set_threads
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import display_name

if TYPE_CHECKING:
    from neuralvdb.values import EncodeContext


@dataclass(frozen=True, kw_only=True)
class CompressReport:
    """What compress() did."""

    source: str
    target: str
    source_size: int
    """Bytes."""
    archive_size: int
    """Bytes."""
    grids: list[str]
    """Names of the grids archived."""
    left_out: list[str]
    """Names of the grids that the user did not want."""
    promises: dict[str, PromiseDescription]
    """What is promised of the grids that are not lossless."""
    pruned: dict[str, int]
    """Voxels whose active state changed, of the grids whose topology is pruned."""
    device: str
    """Where lossy values were coded."""
    verified: bool
    """Whether the archive was decoded and compared."""
    skipped: bool = False
    """Whether the archive was there already, so that nothing was done."""
    keys: tuple[str, ...] = ()
    """Of each grid, what equal grids under the same settings have; empty texts where that does not matter."""

    @property
    def ratio(self) -> float:
        """Source size over archive size."""
        return self.source_size / self.archive_size

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        told = {**asdict(self), "ratio": round(self.ratio, 4)}
        del told["keys"]
        return told


def compress(
    source: str | os.PathLike[str] | GridsInMemory,
    target: str | os.PathLike[str],
    settings: CompressSettings = CompressSettings(),
    *,
    progress: Progress = ignore,
    note: Note = ignore,
    run: Runner = run_here,
) -> CompressReport:
    """Writes a .vdb file or grids in memory to the archive `target`, as settings.quality and settings.bounds say.

    Meanwhile NumPy's BLAS has one thread in this process: all threads are ours, settings.threads of them.
    progress: is told of bytes of the source as they are done, twice with settings.verify. note: is told which grids
    are left out before anything is written. run: calls the job; `nvdb` passes one that does so in a child process.
    Raises NoSuchDevice, InputError, DamagedFile, Unsupported, NoSuchGrid, OutputExists, OutputError, PromiseBroken,
    OutOfMemory; then `target` is as before.
    """
    with compressing(source, target, settings, progress=progress, note=note) as task:
        return run(task.work, writes=task.writes)


@contextlib.contextmanager
def compressing(
    source: str | os.PathLike[str] | GridsInMemory,
    target: str | os.PathLike[str],
    settings: CompressSettings,
    *,
    progress: Progress = ignore,
    note: Note = ignore,
) -> Iterator[Task[CompressReport]]:
    """The work of compress(), for any process to do within the block: `target` is there when that ends well."""
    if not isinstance(source, GridsInMemory):
        source = os.fspath(source)
        check_readable(source)
    sources = [] if isinstance(source, GridsInMemory) else [source]
    with new_file(Path(target), force=settings.force or settings.skip_existing, sources=sources) as output:
        job = _Job(source, output, settings)
        yield Task(functools.partial(job.run, progress, note), writes=[output.temporary])


@dataclass(frozen=True)
class Encoding:
    """What frames are encoded with."""

    settings: CompressSettings
    context: EncodeContext

    @classmethod
    def begin(cls, settings: CompressSettings, chunk: int = 1) -> Encoding:
        """What settings say; they hold for this process too. chunk: frames that may be coded from each other. Raises
        NoSuchDevice, and what models_for() raises."""
        set_threads(settings.threads)
        wanted = settings.lossy or settings.device != "auto"
        gpus = devices.Devices(settings.device if wanted else "cpu")
        context = values.EncodeContext.of(settings, models=models_for(settings), devices=gpus, chunk=chunk)
        return cls(settings, context)

    def write(
        self,
        output: FrameOutput,
        reader: GridFile,
        note: Note,
        earlier: EarlierFrames = EarlierFrames(),
    ) -> EncodedFrame:
        """Writes the grids that are wanted. Raises what encode_frame() raises, and NoSuchGrid."""
        selected = self._selected(reader)
        if left_out := [reader.entries[i].name for i in sorted(set(range(len(reader.entries))) - set(selected))]:
            note(f"{reader.path}: left out as asked: {', '.join(left_out)}")
        return encode_frame(output, reader, selected, self.context, earlier)

    def grids(self, reader: GridFile) -> Iterator[VolumeGrid]:
        """The grids that are wanted. Raises what reading raises, and NoSuchGrid."""
        with naming(reader.path):
            yield from map(reader.read, self._selected(reader))

    def report(self, reader: GridFile, encoded: EncodedFrame, target: str, size: int) -> CompressReport:
        """What became of a file. size: bytes that were written."""
        grids = encoded.table.grids
        return CompressReport(
            source=reader.path,
            target=target,
            source_size=reader.size,
            archive_size=size,
            grids=[grid.name for grid in grids],
            left_out=[display_name(name) for name in encoded.table.left_out],
            promises=self._promises(encoded, target),
            pruned={grid.name: grid.pruned for grid in grids if grid.pruned is not None},
            device=devices.described(self.context.devices.used),
            verified=self.settings.verify,
            keys=encoded.keys,
        )

    def made(self, frame: Frame, reader: GridFile, target: str) -> CompressReport | None:
        """What a frame holds, where it is as write() would write it. Raises DamagedFile."""
        table, made_of = frame.table, reader.hash_bytes()
        if not table.is_made_of(made_of) or table.settings_hash != self.context.settings_hash:
            return None
        promises = {grid.name: promise_of(frame, number) for number, grid in enumerate(table.grids)}
        return CompressReport(
            source=reader.path,
            target=target,
            source_size=table.source_size,
            archive_size=frame.size,
            grids=[grid.name for grid in table.grids],
            left_out=[display_name(name) for name in table.left_out],
            promises={name: promise for name, promise in promises.items() if promise is not None},
            pruned={grid.name: grid.pruned for grid in table.grids if grid.pruned is not None},
            device=devices.described(()),
            verified=self.settings.verify,
            skipped=True,
        )

    def _promises(self, encoded: EncodedFrame, target: str) -> dict[str, PromiseDescription]:
        """What is promised of the grids that are not lossless."""
        return {
            grid.name: describe(
                head,
                values.find_models(head.models, target, [self.context.models]).fast,
                encoded.losses.get(number),
            )
            for number, (grid, head) in enumerate(zip(encoded.table.grids, encoded.values, strict=True))
            if head is not None
        }

    def _selected(self, reader: GridFile) -> list[int]:
        """Numbers of the grids to keep. Raises NoSuchGrid where there are none, or one that is named is not there."""
        grids, settings = reader.entries, self.settings
        check_names(grids, [bound.grid for bound in settings.bounds if bound.grid], reader.path)
        selected = without(grids, select(grids, settings.grids, reader.path), settings.unwanted)
        if grids and not selected:
            raise NoSuchGrid(f"{reader.path}: all of its grids are left out; nothing would be written")
        return selected


@dataclass(frozen=True)
class _Job:
    """An archive to write."""

    source: str | GridsInMemory
    output: NewFile
    settings: CompressSettings

    def run(self, progress: Progress, note: Note) -> CompressReport:
        """Encodes, verifies and reports."""
        encoding = Encoding.begin(self.settings)
        reader = VdbReader(self.source) if isinstance(self.source, str) else self.source
        if self.settings.skip_existing and (report := self._made(encoding, reader)) is not None:
            return report
        path, context = self.output.temporary, encoding.context
        with contextlib.ExitStack() as stack:
            with naming(reader.path), one_blas_thread(), self.output.writing() as stream:
                writer, check = ArchiveWriter(stream), None
                if self.settings.verify:
                    check = stack.enter_context(contextlib.closing(FrameCheck(stream, path, context)))
                encoded = encoding.write(FrameOutput(writer, progress, check), reader, note)
                writer.close()
            if check is not None:
                with reading_back(path), FrameReader(path, models=context.models) as frame:
                    check.end(frame)
        return encoding.report(reader, encoded, self.output.target, self.output.size())

    def _made(self, encoding: Encoding, reader: GridFile) -> CompressReport | None:
        """What an earlier run made, where it is whole and was made of the same bytes with the same settings."""
        try:
            with FrameReader(self.output.target, models=encoding.context.models) as frame:
                report = encoding.made(frame, reader, self.output.target)
                if report is not None:
                    frame.archive.check(frame.position)
                return report
        except NeuralVdbError:  # there is none, or it is damaged, or no archive
            return None
