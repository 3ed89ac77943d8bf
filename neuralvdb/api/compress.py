"""From .vdb to .neuralvdb."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb import devices, values
from neuralvdb.api.decoding import decode_all
from neuralvdb.api.jobs import Note, Progress, Runner, Task, ignore, run_here
from neuralvdb.api.promises import PromiseDescription, describe, promise_of
from neuralvdb.api.source import check_names, check_readable, select, without
from neuralvdb.archive import ArchiveWriter
from neuralvdb.codec.encode import EncodedFrame, encode_frame
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.models import models_for
from neuralvdb.codec.reusable import GridInFile as GridInFile
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, NoSuchGrid, OutputError, naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.platform import one_blas_thread, return_memory
from neuralvdb.sequence.pack import split
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import GridsInMemory, VdbReader, set_threads
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
    sequence: SequenceSoFar | None = None,
) -> Iterator[Task[CompressReport]]:
    """The work of compress(), for any process to do within the block: `target` is there when that ends well.

    sequence: what is there already of that which the archive becomes a frame of.
    """
    if not isinstance(source, GridsInMemory):
        source = os.fspath(source)
        check_readable(source)
    sources = [] if isinstance(source, GridsInMemory) else [source]
    with new_file(Path(target), force=settings.force or settings.skip_existing, sources=sources) as output:
        job = _Job(source, output, settings, sequence or SequenceSoFar())
        yield Task(functools.partial(job.run, progress, note), writes=[output.temporary])


@dataclass(frozen=True)
class FrameInFile:
    """A frame of an archive of many."""

    path: str
    number: FrameNumber


@dataclass(frozen=True)
class SequenceSoFar:
    """What is there of a sequence before one of its frames is coded.

    earlier: a frame of an archive of many, which settings.skip_existing takes where it is as a new one would be.
    reusable: grids of other frames by their keys, which are not coded again.
    """

    earlier: FrameInFile | None = None
    reusable: Mapping[str, GridInFile] | None = None


@dataclass(frozen=True)
class _Job:
    """An archive to write."""

    source: str | GridsInMemory
    output: NewFile
    settings: CompressSettings
    sequence: SequenceSoFar

    def run(self, progress: Progress, note: Note) -> CompressReport:
        """Encodes, verifies and reports."""
        settings = self.settings
        set_threads(settings.threads)
        wanted = settings.lossy or settings.device != "auto"
        gpus = devices.Devices(settings.device if wanted else "cpu")
        reader = VdbReader(self.source) if isinstance(self.source, str) else self.source
        models = models_for(settings)
        context = values.EncodeContext.of(settings, models=models, devices=gpus)
        if settings.skip_existing and (report := self._existing(context, reader)) is not None:
            return report
        selected = self._selected(reader)
        left_out = [reader.entries[i].name for i in sorted(set(range(len(reader.entries))) - set(selected))]
        if left_out:
            note(f"{reader.path}: left out as asked: {', '.join(left_out)}")
        try:
            with naming(reader.path), one_blas_thread(), self.output.open() as stream:
                writer = ArchiveWriter(stream)
                encoded = encode_frame(writer, reader, selected, context, progress, self.sequence.reusable)
                writer.close()
        except OSError as error:
            raise OutputError(f"{self.output.target}: cannot be written: {error.strerror}") from error
        return_memory()
        if settings.verify:
            with FrameReader(self.output.temporary, models=models, devices=gpus) as frame:
                decode_all(frame, settings.threads, progress)
        grids = encoded.table.grids
        return CompressReport(
            source=reader.path,
            target=self.output.target,
            source_size=reader.size,
            archive_size=self.output.size(),
            grids=[grid.name for grid in grids],
            left_out=left_out,
            promises=self._promises(encoded, context),
            pruned={grid.name: grid.pruned for grid in grids if grid.pruned is not None},
            device=devices.described(gpus.used),
            verified=settings.verify,
            keys=encoded.keys,
        )

    def _promises(self, encoded: EncodedFrame, context: EncodeContext) -> dict[str, PromiseDescription]:
        """What is promised of the grids that are not lossless."""
        return {
            grid.name: describe(
                head,
                values.find_models(head.models, self.output.target, [context.models]).fast,
                encoded.losses.get(number),
            )
            for number, (grid, head) in enumerate(zip(encoded.table.grids, encoded.values, strict=True))
            if head is not None
        }

    def _existing(self, context: EncodeContext, reader: VdbReader | GridsInMemory) -> CompressReport | None:
        """What an earlier run made, where it is whole and was made of the same bytes with the same settings."""
        report = self._made(self.output.target, None, context, reader)
        earlier = self.sequence.earlier
        if report is None and earlier is not None:
            report = self._made(earlier.path, earlier.number, context, reader)
        return report

    def _made(
        self, path: str, number: FrameNumber | None, context: EncodeContext, reader: VdbReader | GridsInMemory
    ) -> CompressReport | None:
        """What is in an archive, where that is as this job would write it; one frame of many is copied."""
        try:
            with FrameReader(path, number, models=context.models) as frame:
                table, made_of = frame.table, reader.hash_bytes()
                if not made_of or (table.source_hash, table.settings_hash) != (made_of, context.settings_hash):
                    return None
                frame.archive.check(frame.position)
                promises = {grid.name: promise_of(frame, number) for number, grid in enumerate(table.grids)}
                if number is not None:
                    with self.output.open() as stream:
                        split(frame.archive, frame.position, stream)
        except OutputError:
            raise
        except NeuralVdbError:  # there is none, or it is damaged, or no archive
            return None
        return CompressReport(
            source=reader.path,
            target=self.output.target,
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

    def _selected(self, reader: VdbReader | GridsInMemory) -> list[int]:
        """Numbers of the grids to keep. Raises NoSuchGrid where there are none, or one that is named is not there."""
        grids, settings = reader.entries, self.settings
        check_names(grids, [bound.grid for bound in settings.bounds if bound.grid], reader.path)
        selected = without(grids, select(grids, settings.grids, reader.path), settings.unwanted)
        if grids and not selected:
            raise NoSuchGrid(f"{reader.path}: all of its grids are left out; nothing would be written")
        return selected
