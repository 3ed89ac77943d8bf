"""From grids to sections."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import xxhash

from neuralvdb import values
from neuralvdb.archive import Section, SectionWriter
from neuralvdb.codec.check import FrameCheck, WrittenGrid
from neuralvdb.codec.earlier import EarlierFrames, EarlierGrids, EncodedBefore
from neuralvdb.codec.encode_grid import EncodedGrid, EncodeJob, encode_grid
from neuralvdb.codec.frame_table import FrameTable, GridHead
from neuralvdb.codec.frame_writer import FrameWriter
from neuralvdb.codec.group_tables import FirstTables, stored_size
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.codec.loss import MeasuredLoss
from neuralvdb.codec.pruning import prunable
from neuralvdb.codec.repeats import Repeats
from neuralvdb.codec.reusable import GridInFile
from neuralvdb.codec.scheduler import GridWork, Scheduler
from neuralvdb.codec.topology_sharing import TopologySharing
from neuralvdb.dataclass import dataclass
from neuralvdb.devices import Devices
from neuralvdb.errors import InputError
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import GridFile
from neuralvdb.volume import VolumeGrid

if TYPE_CHECKING:
    from neuralvdb.values import CodedValues, EncodeContext, ModelSet, Tuning, ValuesHead


@dataclass(frozen=True, kw_only=True)
class EncodedFrame:
    """A frame that has been written.

    table: its table.
    values: how the values of each grid are coded, None where every bit is kept.
    losses: of fog that is not lossless, by the numbers of grids.
    keys: of each grid, as key_of() has it.
    before: what others may be coded from.
    tables: of the first frame of its group.
    alone: whether it is that one itself.
    uses: the frames that it is coded from, as GridAt has them.
    """

    table: FrameTable
    values: tuple[ValuesHead | None, ...]
    losses: dict[int, MeasuredLoss]
    keys: tuple[str, ...]
    before: EncodedBefore
    tables: FirstTables
    alone: bool
    uses: frozenset[int]


@dataclass(frozen=True)
class FrameOutput:
    """Where a frame is written to. progress: is told of bytes of the source as they are done, and as they are checked.
    check: decodes what is written; None where nobody does so yet."""

    writer: SectionWriter
    progress: Callable[[int], None]
    check: FrameCheck | None = None


def encode_frame(
    output: FrameOutput,
    source: GridFile,
    selected: list[int],
    context: EncodeContext,
    earlier: EarlierFrames = EarlierFrames(),
) -> EncodedFrame:
    """Writes the selected grids of `source` and tells what was written.

    As many grids are in memory as Scheduler.in_order() says. Raises DamagedFile, InputError, OutputError, OutOfMemory,
    and PromiseBroken where something else is decoded.
    """
    _check_models(context)
    jobs, checks = _Jobs(source, selected, context.settings, earlier), _Checks(output.check)
    with contextlib.closing(_encode_all(jobs, context, earlier.reusable, checks)) as encoded:  # its threads end here
        written = _write_grids(output, encoded, earlier, checks)
    writer, grids, frame = output.writer, written.grids, written.frame
    families = set[str]().union(*(grid.families for grid in grids))
    if context.settings.embed_priors and families:
        values.put_models(writer, context.models.only(families))
    table = _table(source, selected, [grid.head for grid in grids], context)
    losses = {number: grid.loss for number, grid in enumerate(grids) if grid.loss is not None}
    references = {number: grid.reference for number, grid in enumerate(grids) if grid.reference is not None}
    return EncodedFrame(
        table=table,
        values=tuple(grid.values for grid in grids),
        losses=losses,
        keys=tuple(grid.key for grid in grids),
        before=jobs.encoded(),
        tables=frame.end(table, references, losses),
        alone=written.alone,
        uses=frozenset(s.frame for reference in references.values() for s in reference.sources if s.frame),
    )


@dataclass(frozen=True, kw_only=True)
class _Written:
    """The grids of a frame that were written, without their sections. alone: whether it needs no other frame."""

    grids: list[EncodedGrid]
    frame: FrameWriter
    alone: bool


def _write_grids(
    output: FrameOutput, encoded: Iterable[EncodedGrid], earlier: EarlierFrames, checks: _Checks
) -> _Written:
    """Writes grids as they are encoded."""
    alone = earlier.tables is None
    if earlier.tables is not None and not earlier.joins:  # else nothing is kept
        encoded = list(encoded)
        alone = not any(_is_behind(grid, earlier) for grid in encoded)
    writer, grids = output.writer, list[EncodedGrid]()
    frame = FrameWriter(writer, None if alone else earlier.tables)
    for grid in encoded:
        written = len(writer.sections)
        frame.grid(len(grids), grid.head.unique_name, grid.sections)
        checks.add(grid, writer.sections[written:])
        grids.append(replace(grid, sections=[], sources={}))
        output.progress(grid.head.source_size + checks.take_progress())
        del grid  # its sections are written
    output.progress(checks.take_progress())
    return _Written(grids=grids, frame=frame, alone=alone)


def _is_behind(grid: EncodedGrid, earlier: EarlierFrames) -> bool:
    """Whether a grid is coded from another frame, or by networks that the first frame of the group has too."""
    moved = grid.reference is not None and any(source.frame for source in grid.reference.sources)
    return moved or (earlier.tuning is not None and grid.values is not None and grid.values.fine_tuned)


def _table(source: GridFile, selected: list[int], heads: list[GridHead], context: EncodeContext) -> FrameTable:
    """The table of the selected grids of a file."""
    kept = set(selected)
    return FrameTable(
        version=source.version,
        openvdb_version=source.openvdb_version,
        uuid=source.uuid,
        metadata=source.metadata,
        source_size=source.size,
        complete=len(selected) == len(source.entries),
        grids=tuple(heads),
        left_out=tuple(entry.unique_name for i, entry in enumerate(source.entries) if i not in kept),
        source_hash=source.hash_bytes(),
        settings_hash=context.settings_hash,
    )


def _check_models(context: EncodeContext) -> None:
    """Raises InputError where the models that the user gave cannot encode."""
    where = context.settings.priors
    if len(context.models.families) < len(values.FAMILIES):
        raise InputError(f"{where}: carries priors of some families only; give the file that they came from")
    if context.settings.fast and not context.models.fast:
        raise InputError(f"{where}: its networks have hidden layers; tune fast ones with `nvdb train --fast`")


class _Checks:
    """Hands grids that are written to a check, if there is one."""

    def __init__(self, check: FrameCheck | None) -> None:
        self._check = check
        self._written: list[WrittenGrid] = []

    def add(self, grid: EncodedGrid, sections: Sequence[Section]) -> None:
        """Takes a grid that is written."""
        if self._check is None:
            return
        written = WrittenGrid(head=grid.head, sections=sections, reference=grid.reference, sources=grid.sources)
        self._written.append(written)

    def work(self, free_threads: Callable[[], int]) -> Callable[[], None] | None:
        """Work on the grid that was written last; None where there is none to do."""
        check = self._check
        return None if check is None or not self._written else check.work_on(self._written.pop(), free_threads)

    def take_progress(self) -> int:
        """As FrameCheck has it."""
        return 0 if self._check is None else self._check.take_progress()


def _encode_all(
    jobs: _Jobs, context: EncodeContext, reusable: Mapping[str, GridInFile], checks: _Checks
) -> Generator[EncodedGrid, None, None]:
    """The encoded grids in order; each is checked when it was written, if that is wanted."""
    with Scheduler(context.settings.threads, len(jobs)) as scheduler:
        each = replace(context, free_threads=scheduler.free_threads)
        work = (GridWork(encode_grid(job, each, reusable), job.memory) for job in jobs)
        yield from map(_encoded, scheduler.in_order(work, lambda _: checks.work(scheduler.free_threads)))


def _encoded(encoded: EncodedGrid | EncodeJob) -> EncodedGrid:
    """The encoded grid, also where an earlier one has become the same."""
    return encoded.first.results[0].repeated(encoded) if isinstance(encoded, EncodeJob) else encoded


class _Jobs:
    """The selected grids of a file, each read when it is asked for."""

    def __init__(
        self, source: GridFile, selected: Sequence[int], settings: CompressSettings, earlier: EarlierFrames
    ) -> None:
        self._source, self._selected, self._settings = source, selected, settings
        frames = enumerate(earlier.before, 1)
        before = [replace(source, frame=number) for number, frame in frames for source in frame.sources]
        self._earlier = EarlierGrids(before, keeps=settings.lossy)
        self._history = xxhash.xxh3_128("".join(frame.history for frame in earlier.before).encode())
        self._tables, self._tuning = earlier.tables, earlier.tuning

    def __len__(self) -> int:
        return len(self._selected)

    def __iter__(self) -> Iterator[EncodeJob]:
        source, settings, sharing, repeats = self._source, self._settings, TopologySharing(), Repeats[EncodedGrid]()
        for number, entry_number in enumerate(self._selected):
            entry = source.entries[entry_number]
            grid = source.read(entry_number)
            promise, needed = promise_for(grid, settings), None
            if promise is not None and grid.tree is not None and settings.topology == "pruned":
                needed = prunable(grid.tree, promise)
            first = repeats.assign(number, grid, promise)
            self._earlier.announce(number, grid.tree if needed is None and first.number == number else None)
            yield EncodeJob(
                number=number,
                grid=grid,
                source_size=entry.end_pos - entry.grid_pos,
                promise=promise,
                needed=needed,
                role=sharing.assign(number, grid.tree if needed is None else needed),
                first=first,
                earlier=self._earlier,
                before=self._history.hexdigest(),
                tuning=self._tuning_of(number, grid.unique_name),
            )
            self._history.update(repr((number, first.number, first.key)).encode())

    def _tuning_of(self, number: int, name: bytes) -> Tuning | None:
        return None if self._tuning is None else self._tuning(number, name, partial(stored_size, self._tables, name))

    def encoded(self) -> EncodedBefore:
        """What other frames may be coded from, when all grids are encoded."""
        return EncodedBefore(self._earlier.done(), self._history.hexdigest())


def encode_values(
    grid: VolumeGrid, settings: CompressSettings, *, models: ModelSet | None = None, devices: Devices | None = None
) -> CodedValues:
    """The values of a grid that travels as arrays, as encode_frame() codes them where its topology stays exact."""
    assert grid.tree is not None
    context = values.EncodeContext.of(settings, models=models, devices=devices)
    promise = promise_for(grid, settings)
    return values.exact(grid.tree) if promise is None else values.choose_values(grid.tree, promise, context)
