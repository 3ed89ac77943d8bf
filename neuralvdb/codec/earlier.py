"""The grids of a frame that are encoded already, which later ones may be coded with in view."""

from __future__ import annotations

from concurrent.futures import Future

from neuralvdb.dataclass import dataclass
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import LEAF_SLOTS

DEEPEST = 4  # references between a grid and one that has none
_KEPT = 1 << 29  # bytes of leaf values that are kept


@dataclass(frozen=True, kw_only=True)
class Source:
    """An encoded grid, as it decodes. depth: references between it and a grid that has none."""

    number: int
    tree: Tree
    depth: int = 0

    @property
    def components(self) -> int:
        """Of a value."""
        return self.tree.leaf.values.size // max(len(self.tree.leaf) * LEAF_SLOTS, 1)


class EarlierGrids:
    """Grids by number. Threads may ask while others still encode earlier grids; then they wait."""

    def __init__(self) -> None:
        self._sources: dict[int, Future[Source | None]] = {}

    def announce(self, number: int) -> None:
        """Says that a grid will be put; call it for every grid, in order."""
        self._sources[number] = Future()

    def put(self, number: int, source: Source | None) -> None:
        """What a grid has become, None where no other may refer to it; the first word on a grid holds."""
        if not self._sources[number].done():
            self._sources[number].set_result(source)

    def before(self, number: int) -> list[Source]:
        """Grids before a number that others may refer to, the last ones first, as many as are kept."""
        sources, size = [], 0
        for earlier in range(number - 1, -1, -1):
            source = self._sources[earlier].result() if earlier in self._sources else None
            if source is None:
                continue
            size += source.tree.leaf.values.nbytes
            if size > _KEPT:
                del self._sources[earlier]
                continue
            sources.append(source)
        return sources
