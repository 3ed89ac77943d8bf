"""What a frame needs of those that it is coded from."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from neuralvdb.codec.grid_reference import GridAt
from neuralvdb.dataclass import dataclass

if TYPE_CHECKING:
    from neuralvdb.codec.decode import GridDecoder
    from neuralvdb.codec.frame import Frame, OpenFrames


@dataclass(frozen=True)
class _Step:
    """A frame, and the grids of others that it takes."""

    frame: Frame
    grids: set[GridAt]

    @property
    def open(self) -> set[int]:
        """The positions of the frames that have to be open for it."""
        back = [self.frame.index.back[grid.frame - 1] for grid in self.grids]
        return {self.frame.position, *(self.frame.position - distance for distance in back)}


class GridsBefore:
    """The grids of other frames that those of a frame are decoded from. decoder: of the frame, which takes them."""

    def __init__(self, frame: Frame, frames: OpenFrames, decoder: GridDecoder) -> None:
        self._weak, self._frames, self._decoder = weakref.ref(frame), frames, decoder

    @property
    def _frame(self) -> Frame:
        """The frame, which has this and so is there."""
        frame = self._weak()
        assert frame is not None
        return frame

    def name(self, grid: GridAt) -> str:
        """What people call a grid of the frame, or of one that it is coded from. Raises DamagedFile where there is
        none."""
        if not grid.frame:
            return self._frame.grids[grid.number].name
        before = self._frames.at(self._position(grid))
        self._check(grid.frame, before)
        return f"{before.grids[grid.number].name} of {before.index.words}"

    def prepare(self, numbers: Iterable[int], threads: int) -> None:
        """Decodes what these grids need of other frames, in the order of the file; of frames that none waits for as
        many stay open as at() lets. Raises what GridDecoder.read() raises."""
        with self._frames.lock:
            steps = self._plan(numbers)
            for number, step in enumerate(steps):
                step.frame.before._take(step.grids, threads)
                self._frames.use(step.frame)
                self._frames.let_go({position for later in steps[number + 1 :] for position in later.open})

    def _plan(self, numbers: Iterable[int]) -> Sequence[_Step]:
        """What has to be done in turn, the frame itself last."""
        wanted, steps = {self._frame.position: set(numbers)}, list[_Step]()
        for position in reversed(self._frame.index.needs):
            if position in wanted:
                frame = self._frames.open(position) if steps else self._frame
                missing = frame.before._missing(wanted[position])
                for grid in missing:
                    wanted.setdefault(frame.before._position(grid), set()).add(grid.number)
                steps.append(_Step(frame, missing))
        return steps[::-1]

    def _missing(self, numbers: Iterable[int]) -> set[GridAt]:
        """The grids of other frames that these grids are decoded from, and that are not there."""
        return self._frame.index.references.needed_before(numbers) - self._decoder.before.keys()

    def _take(self, grids: Iterable[GridAt], threads: int) -> None:
        """Decodes grids of other frames."""
        for grid in sorted(grids, key=lambda grid: (grid.frame, grid.number)):
            before = self._frames.open(self._position(grid))
            self._check(grid.frame, before)
            tree = before.before._decoder.read(grid.number, threads=threads).tree
            assert tree is not None  # it fits
            self._decoder.before[grid] = tree

    def _position(self, grid: GridAt) -> int:
        """Of the frame that has a grid."""
        return self._frame.position - self._frame.index.back[grid.frame - 1]

    def _check(self, number: int, before: Frame) -> None:
        """number: which of the frames that the frame is coded from `before` is."""
        frame = self._frame
        frame.index.references.check_before({0: frame.table, number: before.table}, frame.path)
