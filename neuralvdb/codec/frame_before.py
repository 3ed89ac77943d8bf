"""What a frame needs of the one before it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from neuralvdb.codec.grid_reference import GridAt

if TYPE_CHECKING:
    from neuralvdb.codec.decode import GridDecoder
    from neuralvdb.codec.frame import Frame, OpenFrames


class GridsBefore:
    """The grids of the frame before that those of a frame are decoded from. decoder: of the frame, which takes them."""

    def __init__(self, frame: Frame, frames: OpenFrames, decoder: GridDecoder) -> None:
        self._weak, self._frames, self._decoder = weakref.ref(frame), frames, decoder

    @property
    def _frame(self) -> Frame:
        """The frame, which has this and so is there."""
        frame = self._weak()
        assert frame is not None
        return frame

    def name(self, grid: GridAt) -> str:
        """What people call a grid of the frame, or of the one before. Raises DamagedFile where there is none."""
        if not grid.before:
            return self._frame.grids[grid.number].name
        before = self._frames.at(self._frame.position - 1)
        self._check(before)
        return f"{before.grids[grid.number].name} of the frame before"

    def prepare(self, numbers: Iterable[int], threads: int) -> None:
        """Decodes what these grids need of the frames before, from the first frame that has any of it.

        Two frames are in memory at a time. Raises what GridDecoder.read() raises.
        """
        with self._frames.lock:
            waiting = [(self._frame, self._missing(numbers))]
            while needed := waiting[-1][1]:
                before = self._frames.open(waiting[-1][0].position - 1)
                waiting.append((before, before.before._missing(needed)))
            before, _ = waiting.pop()
            while waiting:
                frame, needed = waiting.pop()
                frame.before._take(before, needed, threads)
                self._frames.keep(before, frame)
                before = frame

    def _missing(self, numbers: Iterable[int]) -> set[int]:
        """The grids of the frame before that these grids are decoded from, and that are not there."""
        return self._frame.index.references.needed_before(numbers) - self._decoder.before.keys()

    def _take(self, before: Frame, numbers: Iterable[int], threads: int) -> None:
        """Decodes grids of the frame before."""
        self._check(before)
        for number in sorted(numbers):
            tree = before.before._decoder.read(number, threads=threads).tree
            assert tree is not None  # it fits
            self._decoder.before[number] = tree

    def _check(self, before: Frame) -> None:
        frame = self._frame
        frame.index.references.check_before(frame.table, before.table, frame.path)
