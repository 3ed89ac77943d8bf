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

from neuralvdb.codec.scheduler import Outcome
from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import quantile
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import LEAF_SLOTS, unpack

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class _Announced:
    """A grid that is encoded, and what it becomes. size: bytes of its leaf values; components: of a value, -1 where no
    other grid may refer to it."""

    source: Outcome[Source | None]
    size: int
    components: int

    @property
    def is_too_deep(self) -> bool:
        """Whether it has become what no grid of its frame may refer to."""
        if not self.source.is_there:
            return False
        source = self.source.get()
        return source is None or source.depth >= DEEPEST


class EarlierGrids:
    """Grids by number. Threads may ask while others still encode earlier grids.

    before: grids of other frames. keeps: whether anything will be coded with earlier grids in view; else none is
    kept.
    """

    def __init__(self, before: Sequence[Source], *, keeps: bool) -> None:
        self._before, self._keeps, self._lock = before, keeps, threading.Lock()
        self._announced: dict[int, _Announced] = {}  # in order
        self._done = 0  # grids before this one are done
        self._kept: deque[Source] = deque()  # what they have become
        self._size = 0  # bytes of that

    def announce(self, number: int, tree: Tree | None) -> None:
        """Says that a grid will be put; call it for every grid, in order. tree: as it is before it is encoded; None
        where no other grid may refer to it."""
        source = None if tree is None or not self._keeps else Source(number=number, tree=tree)
        with self._lock:
            self._announced[number] = _Announced(
                Outcome(), 0 if source is None else source.size, -1 if source is None else source.components
            )

    def put(self, number: int, source: Source | None) -> None:
        """What a grid has become, None where no other may refer to it; the first word on a grid holds."""
        with self._lock:
            announced = self._announced.get(number)  # None where what it became is forgotten already
            first = announced is not None and not announced.source.is_there
        if announced is not None and first:
            announced.source.set(source if self._keeps else None)
            with self._lock:
                self._forget()

    def missing(self, number: int, components: int) -> list[Outcome[Source | None]]:
        """What all_before() needs next and is not there yet."""
        return [each.source for each in self._needed(number, components) if not each.source.is_there]

    def all_before(self, number: int, components: int) -> list[Source]:
        """Grids that the grid of a number, of values of so many components, may refer to, when none is missing: those
        before it, the last ones first, as many as are kept, and those of other frames. Of the grids of its frame with
        other components there is only the first one that may move it."""
        sources = [source for each in self._needed(number, components) if (source := each.source.get()) is not None]
        return [*sources, *self._before]

    def _needed(self, number: int, components: int) -> list[_Announced]:
        """The grids of the frame that the grid of a number may refer to, the last ones first, as far as that is known:
        of velocities those up to the first one that is not known to be too deep."""
        with self._lock:
            before = [each for earlier, each in reversed(self._announced.items()) if earlier < number]
        kept = [each for each in before if each.components >= 0]
        sizes = itertools.accumulate(each.size for each in kept)
        kept = kept[: sum(size <= _KEPT for size in sizes)]
        velocities = [each for each in kept if each.components == 3]
        moving = next((each for each in reversed(velocities) if not each.is_too_deep), None)
        return [each for each in kept if each.components == components or each is moving]

    def done(self) -> tuple[Source, ...]:
        """All grids that are kept, when all are put."""
        return tuple(source for each in self._announced.values() if (source := each.source.get()) is not None)

    def _forget(self) -> None:
        """Drops what no grid that is still to be encoded may refer to."""
        while (announced := self._announced.get(self._done)) is not None and announced.source.is_there:
            if (source := announced.source.get()) is None:
                del self._announced[self._done]
            else:
                self._kept.append(source)
                self._size += source.size
            self._done += 1
        while self._size > _KEPT:
            source = self._kept.popleft()
            self._size -= source.size
            del self._announced[source.number]
