"""Grids that are encoded already, of a frame and of others, which later ones may be coded with in view."""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import quantile
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import LEAF_SLOTS, unpack

if TYPE_CHECKING:
    from concurrent.futures import Future

    from neuralvdb.codec.group_tables import FirstTables
    from neuralvdb.codec.reusable import GridInFile
    from neuralvdb.values import CodedValues, Tuning

DEEPEST = 4  # references between a grid and one that has none
_FASTEST = 0.9  # quantile of velocities that motions are told by
_KEPT = 1 << 29  # bytes of leaf values that are kept


@dataclass(frozen=True, kw_only=True)
class Source:
    """An encoded grid, as it decodes.

    name: no other grid of its frame has it. frame: which one, as GridAt has it. depth: references of its frame between
    it and a grid that has none.
    """

    number: int
    tree: Tree
    name: bytes = b""
    frame: int = 0
    depth: int = 0

    @property
    def components(self) -> int:
        """Of a value."""
        return self.tree.leaf.values.size // max(len(self.tree.leaf) * LEAF_SLOTS, 1)

    @property
    def size(self) -> int:
        """Bytes of leaf values."""
        return self.tree.leaf.values.nbytes

    @functools.cached_property
    def speed(self) -> float:
        """Of velocities: the size that a component seldom goes beyond; 0 where nothing is active."""
        leaf = self.tree.leaf
        sizes = np.abs(leaf.values[unpack(leaf.active)])
        return quantile(sizes.ravel(), _FASTEST) if sizes.size else 0.0


@dataclass(frozen=True)
class EncodedBefore:
    """A frame that others of its group may be coded from, once it is encoded.

    sources: its grids, as many as are kept. history: what no other frame has that comes out differently.
    """

    sources: tuple[Source, ...]
    history: str


@dataclass(frozen=True)
class EarlierFrames:
    """What is there before a frame is coded.

    before: the frames that it may be coded from, at most two. tables: of the first frame of the group; None where it is
    that one itself. joins: whether it is of the group though it may be coded without any other frame. reusable: grids
    of other frames by their keys, which are not coded again. tuning: of a grid by its number and name, if all frames of
    the group have it.
    """

    before: tuple[EncodedBefore, ...] = ()
    tables: FirstTables | None = None
    joins: bool = False
    reusable: Mapping[str, GridInFile] = field(default_factory=dict)
    tuning: Callable[[int, bytes, Callable[[CodedValues], int]], Tuning] | None = None


class EarlierGrids:
    """Grids by number. Threads may ask while others still encode earlier grids; then they wait.

    before: grids of other frames. keeps: whether anything will be coded with earlier grids in view; else none is
    kept.
    """

    def __init__(self, before: Sequence[Source], *, keeps: bool) -> None:
        self._before, self._keeps, self._lock = before, keeps, threading.Lock()
        self._sources: dict[int, Future[Source | None]] = {}  # in order
        self._done = 0  # grids before this one are done
        self._kept: deque[Source] = deque()  # what they have become
        self._size = 0  # bytes of that

    def announce(self, number: int) -> None:
        """Says that a grid will be put; call it for every grid, in order."""
        from concurrent.futures import Future  # which takes time

        with self._lock:
            self._sources[number] = Future()

    def put(self, number: int, source: Source | None) -> None:
        """What a grid has become, None where no other may refer to it; the first word on a grid holds."""
        with self._lock:
            future = self._sources.get(number)  # None where what it became is forgotten already
            if future is not None and not future.done():
                future.set_result(source if self._keeps else None)
                self._forget()

    def all_before(self, number: int) -> list[Source]:
        """Grids that the grid of a number may refer to: those before it, the last ones first, as many as are kept, and
        those of other frames."""
        with self._lock:
            waiting = [future for earlier, future in reversed(self._sources.items()) if earlier < number]
        sources = [source for future in waiting if (source := future.result()) is not None]
        return [*sources[: _fitting(sources)], *self._before]

    def done(self) -> tuple[Source, ...]:
        """All grids that are kept, when all are put."""
        return tuple(source for future in self._sources.values() if (source := future.result()) is not None)

    def _forget(self) -> None:
        """Drops what no grid that is still to be encoded may refer to."""
        while (future := self._sources.get(self._done)) is not None and future.done():
            if (source := future.result()) is None:
                del self._sources[self._done]
            else:
                self._kept.append(source)
                self._size += source.size
            self._done += 1
        while self._size > _KEPT:
            source = self._kept.popleft()
            self._size -= source.size
            del self._sources[source.number]


def _fitting(sources: list[Source]) -> int:
    """How many of the first sources are kept."""
    sizes = itertools.accumulate(source.size for source in sources)
    return sum(size <= _KEPT for size in sizes)
