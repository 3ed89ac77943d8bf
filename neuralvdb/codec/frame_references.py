"""What the grids of a frame are coded from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from neuralvdb.codec.frame_table import FrameTable
from neuralvdb.codec.grid_reference import GridAt, GridReference, fits
from neuralvdb.errors import DamagedFile


class FrameReferences(Mapping[int, GridReference]):
    """What the values of grids resemble, by their numbers; of those that are coded alone nothing."""

    def __init__(self, references: Mapping[int, GridReference]) -> None:
        self._references = references
        self.sources = frozenset(source.number for number in references for source in self.in_frame(number))
        """The grids of the frame that others of it are decoded from."""

    def __getitem__(self, number: int) -> GridReference:
        return self._references[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def in_frame(self, number: int) -> list[GridAt]:
        """The grids of the frame that a grid is decoded from."""
        reference = self._references.get(number)
        return [] if reference is None else [source for source in reference.sources if not source.frame]

    def needed_before(self, grids: Iterable[int]) -> set[GridAt]:
        """The grids of other frames that these grids are decoded from."""
        needed, wanted = set[GridAt](), set(grids)
        while wanted:
            sources = [s for grid in wanted if grid in self._references for s in self._references[grid].sources]
            needed |= {source for source in sources if source.frame}
            wanted = {source.number for source in sources if not source.frame}
        return needed

    def check_before(self, tables: Mapping[int, FrameTable], path: str) -> None:
        """Raises DamagedFile, naming `path`, where a grid of the frame cannot be coded from that of another one.
        tables: as fits() has them."""
        for grid, reference in self._references.items():
            if not fits(tables, grid, reference):
                raise DamagedFile(
                    f"{path}: grid {grid} is coded from a grid of another frame that it cannot be coded from; "
                    "the archive is damaged, get another copy"
                )
