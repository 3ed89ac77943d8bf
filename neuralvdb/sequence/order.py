"""In which order the frames of a group are coded, and from which others each may be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from neuralvdb.dataclass import dataclass

SPAN = 8  # frames between two that are coded from one side only


@dataclass(frozen=True)
class OrderedFrame:
    """A frame that is coded next: which one of its group it is by number, from 0 on, and which ones those are that it
    may be coded from, at most two, which are coded already."""

    at: int
    sources: tuple[int, ...] = ()


def chain(count: int) -> list[OrderedFrame]:
    """So many frames, each from the one before it."""
    return [OrderedFrame(at, (at - 1,) if at else ()) for at in range(count)]


def both_sides(count: int) -> list[OrderedFrame]:
    """So many frames: from every eighth one to the next, or to the last one, then the one in the middle from both, and
    so on in both halves, the first one whole before the second."""
    ends = [*range(0, count - 1, SPAN), count - 1]
    order = [OrderedFrame(0)]
    for first, last in itertools.pairwise(ends):
        order += [OrderedFrame(last, (first,)), *_between(first, last)]
    return order


def _between(first: int, last: int) -> list[OrderedFrame]:
    middle = (first + last) // 2
    if middle == first:
        return []
    return [OrderedFrame(middle, (first, last)), *_between(first, middle), *_between(middle, last)]


def still_needed(order: Sequence[OrderedFrame]) -> set[int]:
    """The frames that these may be coded from."""
    return {source for frame in order for source in frame.sources}
