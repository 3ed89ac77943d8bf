"""In which order the frames of a group are coded, and from which others each may be."""

from __future__ import annotations

from collections.abc import Sequence

from neuralvdb.dataclass import dataclass


@dataclass(frozen=True)
class OrderedFrame:
    """A frame that is coded next: which one of its group it is by number, from 0 on, and which ones those are that it
    may be coded from, at most two, which are coded already."""

    at: int
    sources: tuple[int, ...] = ()


def chain(count: int) -> list[OrderedFrame]:
    """So many frames, each from the one before it."""
    return [OrderedFrame(at, (at - 1,) if at else ()) for at in range(count)]


def still_needed(order: Sequence[OrderedFrame]) -> set[int]:
    """The frames that these may be coded from."""
    return {source for frame in order for source in frame.sources}
