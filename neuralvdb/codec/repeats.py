"""Grids of a frame that come out as an earlier one does, such as the three colours of grey smoke."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import field
from typing import TYPE_CHECKING, Generic, TypeVar

from neuralvdb.codec.frame_table import content_hash
from neuralvdb.dataclass import dataclass
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.field_kind import field_kind

if TYPE_CHECKING:
    from neuralvdb.values import Promise

_KEPT = 16  # grids that later ones are compared with

Result = TypeVar("Result")


@dataclass
class First(Generic[Result]):
    """What the first of equal grids, number `number` of the frame, comes out as: one result once it is there."""

    number: int
    key: Hashable = None
    """What equal grids have in common; None of other grids than trees."""
    results: list[Result] = field(default_factory=list)


class Repeats(Generic[Result]):
    """The grids of a frame so far."""

    def __init__(self) -> None:
        self._firsts: dict[Hashable, First[Result]] = {}

    def assign(self, number: int, grid: VolumeGrid, promise: Promise | None) -> First[Result]:
        """The first of the grids equal to grid `number`, which may be itself; call it for every grid, in order.

        Equal are trees of the same bits under the same promise.
        """
        if grid.tree is None:
            return First(number)
        kind = None if promise is None else field_kind(grid)
        key = grid.grid_type, kind, promise, content_hash(grid)
        first = self._firsts.pop(key, None) or First(number, key)
        if len(self._firsts) == _KEPT:
            del self._firsts[next(iter(self._firsts))]
        self._firsts[key] = first
        return first
