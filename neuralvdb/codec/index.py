"""Which sections a frame has, and what its table says of its grids. No grid is decoded."""

from __future__ import annotations

from neuralvdb.archive import NO_GRID, ArchiveReader, FieldReader, Section
from neuralvdb.codec.frame_references import FrameReferences
from neuralvdb.codec.frame_table import FrameTable
from neuralvdb.codec.grid_reference import read_references
from neuralvdb.codec.grid_sections import GridSections
from neuralvdb.codec.group_tables import DIFFERENCES, TABLE_FROM_FIRST, BaseTables, CodedSection
from neuralvdb.errors import DamagedFile, InputError
from neuralvdb.volume import Storage


class FrameIndex(GridSections):
    """The sections and the table of one frame of an open archive, the one at a position. Raises InputError where the
    archive holds priors and no frame, DamagedFile."""

    def __init__(self, archive: ArchiveReader, position: int = 0, base: BaseTables | None = None) -> None:
        frames = archive.directory
        super().__init__(archive, archive.path if frames is None else f"{archive.path}: {frames.words(position)}")
        self.position = position
        self.words = "" if frames is None else frames.words(position)
        """The same without the archive."""
        self.group = range(position, position + 1) if frames is None else frames.group(position)
        """The positions of the frames that may be coded from each other, among which this one is."""
        self.back = (0, 0) if frames is None else frames.back(position)
        """How far back in the file the frames are that it is coded from, as FrameLabel has it."""
        self.needs = [position] if frames is None else frames.needs(position)
        """The positions of the frames that decoding it needs, as Directory has them."""
        self.sections = archive.sections_of(position)
        for section in self.sections:
            self._add(section)
        self._base = BaseTables(archive, self.group.start) if base is None else base
        self.table: FrameTable = self._read_table(f"{self.path}: its table")
        self._sources = self._find_sources()
        self.references = _references(archive, self)
        self._is_needed = frames is not None and frames.is_needed(position)
        for number in range(len(self.table.grids)):
            self._add_first(number)
        self._repeated = frozenset(self._first_of.values())

    def read(self, section: Section, what: str) -> CodedSection:
        """A section of a grid that holds `what`. Raises DamagedFile."""
        coded = super().read(section, what)
        if section.codec != DIFFERENCES.get(section.kind):
            return coded
        _check_behind(self, f"section {section.kind} of grid {section.grid}")
        return self._base.section(section, coded.payload, self.where(section.grid, what))

    def sizes(self, grid: int) -> dict[str, int]:
        """{type of section: stored bytes} of a grid; what it shares with others counts for the first of them."""
        sections = self._sections.get(grid, {})
        sizes = {kind: section.size for kind, section in sections.items() if not section.shared}
        if grid in self._chunks:
            sizes["TILE"] = sum(s.size for s in self._chunks[grid].values() if not s.shared)
        return sizes

    def source(self, grid: int) -> int:
        """The number of the grid that has the tree of a grid: its own one or, of an instance, another."""
        return self._sources[grid]

    def is_needed_again(self, grid: int) -> bool:
        """Whether grids behind a grid decode to the same tree, or from it, as those of other frames may."""
        return self._is_needed or grid in self._repeated or grid in self.references.sources

    def _find_sources(self) -> list[int]:
        """The source() of all grids. Raises DamagedFile where one has no sections or shares the tree of no other."""
        grids = self.table.grids
        numbers = {grids[number].unique_name: number for number in reversed(range(len(grids)))}
        sources = []
        for number, head in enumerate(grids):
            shared = numbers.get(head.parent)
            if head.parent and (shared is None or grids[shared].parent):
                what = "is not there" if shared is None else "has none of its own"
                text = f"grid '{head.name}' shares the tree of a grid that {what}"
                raise DamagedFile(f"{self.path}: {text}; the archive is damaged, get another copy")
            if head.storage is Storage.TREE:
                self.section("TOPO", head.topology_of)
            if head.storage is Storage.INSTANCE and shared is not None:
                sources.append(shared)
                continue
            self.section("VALS" if head.storage is Storage.TREE else "BLOB", number)
            sources.append(number)
        return sources

    def _read_table(self, where: str) -> FrameTable:
        section = _table_section(self)
        payload = self._archive.read(section)
        if section.codec == TABLE_FROM_FIRST:
            _check_behind(self, "its table")
            return FrameTable.take(FieldReader(self._base.frame_table(payload, where), where))
        return FrameTable.unpack(payload, section.raw_size, where, version=section.version)


def _references(archive: ArchiveReader, index: FrameIndex) -> FrameReferences:
    """What grids are coded from. Raises DamagedFile."""
    section = index.find("REFS", NO_GRID)
    if section is None:
        return FrameReferences({})
    return FrameReferences(read_references(archive.read(section), index.path, index.table, index.back))


def _check_behind(index: FrameIndex, what: str) -> None:
    """Raises DamagedFile where this is the first frame of its group."""
    if index.position == index.group.start:
        raise DamagedFile(f"{index.path}: {what} is coded from a frame that is not there; get another copy")


def _table_section(index: FrameIndex) -> Section:
    """The section FRAM. Raises DamagedFile where there is none, InputError where that is no wonder."""
    section = index.find("FRAM", NO_GRID)
    if section is not None:
        return section
    if {section.kind for section in index.sections} == {"PRIO"}:
        raise InputError(f"{index.path}: holds priors and no volumes; name it with --priors")
    raise DamagedFile(f"{index.path}: its table is missing; the archive is damaged, get another copy")
