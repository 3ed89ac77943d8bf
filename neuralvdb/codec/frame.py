"""Frames of an archive: the table at once, grids on demand."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Collection, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.archive import NO_GRID, ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.decode import DecodedLeaves, GridDecoder
from neuralvdb.codec.frame_before import GridsBefore
from neuralvdb.codec.frame_table import FrameTable, GridHead
from neuralvdb.codec.group_tables import BaseTables
from neuralvdb.codec.index import FrameIndex
from neuralvdb.codec.loss import MeasuredLoss, unpack_losses
from neuralvdb.codec.models import ModelStore
from neuralvdb.codec.scheduler import GridWork, Outcome, Scheduler, Steps
from neuralvdb.codec.store import DecodedStore
from neuralvdb.devices import Devices
from neuralvdb.errors import InputError, UsageError
from neuralvdb.frame_number import FrameNumber, text_of
from neuralvdb.settings import Box
from neuralvdb.topology import Topology
from neuralvdb.volume import VolumeGrid

if TYPE_CHECKING:
    from neuralvdb.values import ModelSet, Promise, ValuesHead


class Frame:
    """One frame of an open archive. Threads may use it at the same time.

    frames: of the archive, which stays open. position: of the frame in the archive. Raises InputError where the archive
    has priors only, DamagedFile.
    """

    def __init__(self, frames: OpenFrames, position: int = 0) -> None:
        self.archive, self.position, self.devices = frames.archive, position, frames.devices
        self.index = FrameIndex(self.archive, position, frames.tables(position))
        self._models = ModelStore(self.archive, self.index.sections, frames.models)
        self._store = DecodedStore(self.index, self.devices)
        self._decoder = GridDecoder(self.archive, self.index, self._store, self._models, self.devices)
        self.before = GridsBefore(self, frames, self._decoder)
        """What it needs of other frames."""

    @property
    def path(self) -> str:
        """How errors name it: by the archive and, where that has many, by its number."""
        return self.index.path

    @property
    def size(self) -> int:
        """Bytes of the archive or, where it has many frames, those that are only this one's."""
        frames = self.archive.directory
        return self.archive.size if frames is None else frames.entry(self.position).extent.total

    @property
    def table(self) -> FrameTable:
        """What is known without decoding."""
        return self.index.table

    @property
    def grids(self) -> tuple[GridHead, ...]:
        """The table's entries of grids."""
        return self.index.table.grids

    def read(self, number: int, box: Box | None = None, lod: int = 0, threads: int = 1) -> VolumeGrid:
        """A grid, as GridDecoder.read() gives it."""
        self.before.prepare([number], threads)
        return self._decoder.read(number, box, lod, threads)

    def read_in_order(
        self, numbers: list[int], *, threads: int, box: Box | None = None, lod: int = 0
    ) -> Generator[VolumeGrid, None, None]:
        """Grids in this order, each as read() gives it; as many are there as Scheduler.in_order() says, and as fit in
        memory together. To be closed by who takes them, so that threads end."""
        self.before.prepare(numbers, threads)
        read = dict[int, Outcome[None]]()  # grids that other ones may be decoded from

        def steps(number: int, needed: list[Outcome[None]], done: Outcome[None]) -> Steps[VolumeGrid]:
            yield needed
            try:
                return self.read(number, box, lod, scheduler.free_threads())
            finally:
                done.set(None)

        def work() -> Iterator[GridWork[VolumeGrid]]:
            for number in numbers:
                sources = [self.index.first(number), *(s.number for s in self.index.references.in_frame(number))]
                needed = [read[source] for source in sources if source in read]
                read[number] = Outcome()
                yield GridWork(steps(number, needed, read[number]), self.index.memory(number))

        with Scheduler(threads, self._store.at_once(numbers, threads)) as scheduler:
            yield from scheduler.in_order(work())

    def leaves(self, number: int, threads: int = 1) -> DecodedLeaves:
        """A tree with its leaves on the first device, as GridDecoder.leaves() gives it."""
        self.before.prepare([number], threads)
        return self._decoder.leaves(number, threads)

    def mask(self, number: int) -> Topology:
        """What is active in a grid, as GridDecoder.mask() gives it."""
        if self.grids[self.index.source(number)].pruned is not None:  # else no values are needed
            self.before.prepare([self.index.source(number)], 1)
        return self._decoder.mask(number)

    def head(self, number: int) -> ValuesHead | None:
        """How the values of a grid are coded, None where every bit is kept. Raises DamagedFile."""
        return self._store.head(number)

    def promise(self, number: int) -> Promise | None:
        """What is promised of a grid, None where every bit is. Raises DamagedFile."""
        coded, loss = self.head(number), self.loss(number)
        if coded is None or loss is None:
            return None if coded is None else coded.promise
        return replace(coded.promise, bound=replace(coded.promise.bound, picture=loss.promised_picture))

    def loss(self, number: int) -> MeasuredLoss | None:
        """What became of a grid, None where that was not measured: of all but fog, where every bit is kept, and in
        older archives. Raises DamagedFile."""
        return self._losses.get(number)

    @functools.cached_property
    def _losses(self) -> dict[int, MeasuredLoss]:
        section = self.index.find("LOSS", NO_GRID)
        return {} if section is None else unpack_losses(self.archive.read(section), f"{self.path}: its losses")

    def models_of(self, identity: bytes) -> ModelSet:
        """The models of that identity. Raises MissingPriors, DamagedFile."""
        return self._models.models_of(identity, self.path)


class OpenFrames:
    """The frames of an open archive; those used last stay open, with what is decoded of them.

    archive: knows the sections of archive.formats. models: networks that frames may need beside those shipped and those
    that they carry. devices: where lossy values and, on the first, topologies are decoded.
    """

    def __init__(
        self, archive: ArchiveReader, *, models: ModelSet | None = None, devices: Devices | None = None
    ) -> None:
        self.archive, self.models, self.devices = archive, models, devices or Devices()
        self.lock = threading.RLock()
        self._tables = BaseTables(archive, 0)  # used last
        self._open: dict[int, Frame] = {}  # by position, in the order of their last use

    def tables(self, position: int) -> BaseTables:
        """Those of the first frame of the group of a frame."""
        frames = self.archive.directory
        first = position if frames is None else frames.group(position).start
        with self.lock:
            if self._tables.position != first:
                self._tables = BaseTables(self.archive, first)
            return self._tables

    def at(self, position: int) -> Frame:
        """The frame at a position. Raises what Frame raises."""
        with self.lock:
            frame = self.open(position)
            self.let_go({position}, frame.index.needs)
        return frame

    def open(self, position: int) -> Frame:
        """As at(), but all that are open stay so, until let_go(); for who has the lock."""
        frame = self._open.get(position) or Frame(self, position)
        self.use(frame)
        return frame

    def use(self, frame: Frame) -> None:
        """Lets a frame be the last one used; for who has the lock."""
        self._open.pop(frame.position, None)
        self._open[frame.position] = frame

    def let_go(self, needed: set[int], useful: Collection[int] = ()) -> None:
        """Lets frames go until as many are open as have to be there at a time where their group is decoded in the order
        of the file; for who has the lock. Those used longest ago go first, useful ones last, and needed ones not."""
        frames, last = self.archive.directory, next(reversed(self._open))
        most = 1 if frames is None else frames.waiting(last)
        in_order = [position for position in self._open if position not in needed]
        for position in sorted(in_order, key=lambda position: position in useful):
            if len(self._open) > most:
                del self._open[position]

    def close(self) -> None:
        """Closes the archive, and lets go of all frames."""
        with self.lock:
            self._open = {}
        self.archive.close()


class FrameReader(Frame):
    """One frame of the archive at `path`, which it opens and close() closes.

    number: of the frame; of an archive of one frame it may be None, and does not matter where that has none. models,
    devices: as in OpenFrames. Raises what ArchiveReader raises, and what position_of() raises.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        number: FrameNumber | None = None,
        *,
        models: ModelSet | None = None,
        devices: Devices | None = None,
    ) -> None:
        self._frames = OpenFrames(ArchiveReader(path, is_readable), models=models, devices=devices)
        try:
            super().__init__(self._frames, position_of(self._frames.archive, number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the archive."""
        self._frames.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def position_of(archive: ArchiveReader, number: FrameNumber | None) -> int:
    """The position of the frame that `number` says.

    Raises UsageError where there are many and it says none, InputError where it is none of them.
    """
    frames = archive.directory
    if frames is None or (number is None and len(frames) == 1):
        return 0
    position = None if number is None else frames.find(number)
    if position is None:
        words = f"{len(frames)} frames from {text_of(frames.numbers[0])} to {text_of(frames.numbers[-1])}"
        if number is None:
            raise UsageError(f"{archive.path}: holds {words}; say which with --frames")
        raise InputError(f"{archive.path}: has no frame {text_of(number)}; it holds {words}")
    return position
