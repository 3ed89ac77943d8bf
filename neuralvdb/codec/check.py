"""Whether an archive of one frame holds what was to be written: grids are decoded from the file while others are still
encoded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO

from neuralvdb.archive import Section, SectionReader
from neuralvdb.codec.decode import GridDecoder
from neuralvdb.codec.frame import Frame
from neuralvdb.codec.frame_references import FrameReferences
from neuralvdb.codec.frame_table import GridHead
from neuralvdb.codec.grid_reference import GridAt, GridReference
from neuralvdb.codec.grid_sections import GridSections
from neuralvdb.codec.models import ModelStore
from neuralvdb.codec.store import DecodedStore
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile, PromiseBroken
from neuralvdb.platform import return_memory

if TYPE_CHECKING:
    from neuralvdb.values import EncodeContext
    from neuralvdb.volume import Tree


@contextlib.contextmanager
def reading_back(path: str) -> Iterator[None]:
    """Makes damage of the archive at `path`, which was just written, a PromiseBroken: no input is to blame for it."""
    try:
        yield
    except DamagedFile as error:
        raise PromiseBroken(f"{path}: it reads back damaged ({error}); check the disk and run it again") from error


@dataclass(frozen=True, kw_only=True)
class WrittenGrid:
    """A grid that was written. sources: trees that it is coded from, as they decode."""

    head: GridHead
    sections: Sequence[Section]
    reference: GridReference | None
    sources: Mapping[GridAt, Tree]


@dataclass(frozen=True)
class _Heads:
    """The table as far as it is written."""

    grids: list[GridHead] = field(default_factory=list)


class _WrittenGrids(GridSections):
    """The sections of the grids that are written."""

    def __init__(self, archive: SectionReader) -> None:
        super().__init__(archive, archive.path)
        self._heads, self._references = _Heads(), dict[int, GridReference]()
        self.table, self.references = self._heads, FrameReferences(self._references)

    def add(self, grid: WrittenGrid) -> int:
        """Takes the next grid, and gives its number."""
        number = len(self._heads.grids)
        self._heads.grids.append(grid.head)
        for section in grid.sections:
            self._add(section)
        if grid.reference is not None:
            self._references[number] = grid.reference
        self._add_first(number)
        return number


class FrameCheck:
    """Decodes grids of a frame as soon as they are written to `stream`, the archive at `path`.

    What a grid is coded from is taken as the encoder has it: that is compared with what is decoded of it, too.
    """

    def __init__(self, stream: BinaryIO, path: str, context: EncodeContext) -> None:
        self._stream, self._archive, self._devices = stream, SectionReader(path), context.devices
        self._grids, self._checked = _WrittenGrids(self._archive), list[int]()
        self._store = DecodedStore(self._grids, self._devices)
        self._models = ModelStore(self._archive, [], context.models)

    def work_on(self, grid: WrittenGrid, free_threads: Callable[[], int]) -> Callable[[], None]:
        """Work that decodes the next grid. It raises OutOfMemory, PromiseBroken."""
        self._stream.flush()
        number = self._grids.add(grid)

        def decode() -> None:
            first = self._grids.first(number)
            if first == number:
                return_memory(self._grids.memory(number))
                decoder = GridDecoder(self._archive, self._grids, self._store, self._models, self._devices)
                decoder.before.update(grid.sources)
                with reading_back(self._grids.path):
                    decoder.read(number, threads=free_threads())
            elif self._grids.table.grids[first].content != grid.head.content:
                raise PromiseBroken(f"{self._grids.path}: grid '{grid.head.name}' decodes to what another one holds")
            self._checked.append(grid.head.source_size)

        return decode

    def take_progress(self) -> int:
        """Bytes of the source of grids that were decoded since it was asked last."""
        count = len(self._checked)
        size = sum(self._checked[:count])
        del self._checked[:count]
        return size

    def end(self, frame: Frame) -> None:
        """Compares what is read of the whole archive with what was written. Raises PromiseBroken."""
        written, index = self._grids, frame.index
        numbers = range(len(frame.grids))
        same = (
            list(frame.grids) == list(written.table.grids)
            and dict(index.references) == dict(written.references)
            and all(index.of(number) == written.of(number) for number in numbers)
            and all(index.first(number) == written.first(number) for number in numbers)
        )
        if not same:
            raise PromiseBroken(f"{frame.path}: reads back as something else than was written")

    def close(self) -> None:
        """Closes the file."""
        self._archive.close()
