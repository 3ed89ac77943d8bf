"""The sections of grids that are there, by grid and type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Protocol

from neuralvdb.archive import NO_GRID, Section, SectionReader
from neuralvdb.archive.formats import form_of
from neuralvdb.codec.frame_references import FrameReferences
from neuralvdb.codec.frame_table import GridHead
from neuralvdb.codec.group_tables import CodedSection
from neuralvdb.errors import DamagedFile
from neuralvdb.volume import Storage


class ChunkPayloads(Mapping[int, bytes]):
    """Payloads of a grid's TILE sections by their number, read when they are looked up. Raises DamagedFile."""

    def __init__(self, archive: SectionReader, sections: dict[int, Section], where: str) -> None:
        self._archive, self._sections, self._where = archive, sections, where

    def __getitem__(self, number: int) -> bytes:
        if number not in self._sections:
            raise DamagedFile(f"{self._where}: section TILE number {number} is missing; get another copy")
        return self._archive.read(self._sections[number])

    def __contains__(self, number: object) -> bool:
        return number in self._sections

    def __iter__(self) -> Iterator[int]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


class Heads(Protocol):
    """What has entries of grids, by their numbers."""

    @property
    def grids(self) -> Sequence[GridHead]:
        """The entries."""


class GridSections:
    """The sections of a frame's grids, of an archive that may still be written to.

    path: how errors name the frame. table: of the grids. references: what they are coded from.
    """

    table: Heads
    references: FrameReferences

    def __init__(self, archive: SectionReader, path: str) -> None:
        self._archive, self.path = archive, path
        self._sections: dict[int, dict[str, Section]] = defaultdict(dict)  # by grid and type
        self._chunks: dict[int, dict[int, Section]] = defaultdict(dict)  # by grid and number
        self._firsts: dict[Hashable, int] = {}  # of grids that decode alike
        self._first_of: dict[int, int] = {}

    def find(self, kind: str, grid: int) -> Section | None:
        """The section of a type and a grid, None where there is none."""
        return self._sections.get(grid, {}).get(kind)

    def of(self, grid: int) -> list[Section]:
        """All sections of a grid, those of chunks last."""
        return [*self._sections.get(grid, {}).values(), *self._chunks.get(grid, {}).values()]

    def section(self, kind: str, grid: int) -> Section:
        """The section of a type and a grid. Raises DamagedFile where there is none."""
        section = self.find(kind, grid)
        if section is None:
            what = f"section {kind} of grid '{self.table.grids[grid].name}'"
            raise DamagedFile(f"{self.path}: {what} is missing; the archive is damaged, get another copy")
        return section

    def chunks(self, grid: int) -> ChunkPayloads:
        """The payloads of a grid's chunks."""
        return ChunkPayloads(self._archive, self._chunks.get(grid, {}), self.where(grid, "values"))

    def read(self, section: Section, what: str) -> CodedSection:
        """A section of a grid that holds `what`. Raises DamagedFile."""
        return CodedSection(section.codec, self._archive.read(section))

    def memory(self, grid: int) -> int:
        """Bytes that the decoded grid takes."""
        sections = [
            self.find(kind, owner)
            for number in (grid, *(source.number for source in self.references.in_frame(grid)))
            for kind, owner in (("TOPO", self.table.grids[number].topology_of), ("VALS", number), ("BLOB", number))
        ]
        return sum(section.raw_size for section in sections if section is not None)

    def source(self, grid: int) -> int:
        """The number of the grid that has the tree of a grid: its own one or, of an instance, another."""
        return grid

    def first(self, grid: int) -> int:
        """The number of the first grid of the same type that decodes to the tree that a grid decodes to."""
        return self._first_of.get(grid, grid)

    def is_needed_again(self, grid: int) -> bool:
        """Whether grids behind a grid decode to the same tree, or from it, as those of other frames may."""
        return False

    def where(self, grid: int, what: str) -> str:
        """How errors name something of a grid."""
        return f"{self.path}: {what} of grid '{self.table.grids[grid].name}'"

    def _add(self, section: Section) -> None:
        form = form_of(section.kind)
        if form.of_frame != (section.grid == NO_GRID) or (section.part and not form.numbered):
            what = f"section {section.kind} cannot be part {section.part} of grid {section.grid}"
            raise DamagedFile(f"{self.path}: {what}; get another copy")
        if form.numbered:
            first = self._chunks[section.grid].setdefault(section.part, section)
        else:
            first = self._sections[section.grid].setdefault(section.kind, section)
        if first is not section:
            raise DamagedFile(f"{self.path}: section {section.kind} of grid {section.grid} occurs twice")

    def _add_first(self, number: int) -> None:
        """Finds first() of a grid: one that has its topology and all its values' bytes; call it in order."""
        head, section = self.table.grids[number], self.find("VALS", number)
        if head.storage is Storage.TREE and section is not None:
            chunks = frozenset((chunk.part, chunk.offset) for chunk in self._chunks.get(number, {}).values())
            values = section.offset, section.codec, section.version, section.raw_size, chunks
            key = head.grid_type, head.topology_of, head.pruned is None, values, self.references.get(number)
            first = self._firsts.setdefault(key, number)
            if first != number:
                self._first_of[number] = first
