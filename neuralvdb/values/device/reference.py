"""Twin of values/lattice/reference.py and values/lattice/nearby.py on a device, for all chunks of a batch at once: what
takes innovations from a reference, and what corrects the predictions of passes that another coder codes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol

import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Destination, Predictions, Targets
from neuralvdb.kernels.correct import (
    BLOCKS,
    SUMS,
    Above,
    PassView,
    Weights,
    add_errors,
    correct_by_gain,
    correct_by_network,
    innovations_of,
)
from neuralvdb.values.device.coding import PassCoder, Rooms
from neuralvdb.values.lattice.pass_order import Pass
from neuralvdb.values.lattice.reference import Correction


class WholeValues(Protocol):
    """The lattice values of a reference, in whole numbers."""

    def top(self) -> torch.Tensor:
        """(R, 512) integers: those of the coarsest level."""

    def level(self, level: int) -> torch.Tensor:
        """(R, 512) int32: those that are coded on a level; levels come from the coarsest to the finest."""


@dataclass(frozen=True, kw_only=True)
class LevelBricks:
    """Bricks of a level with points to be coded, B of them; parents: (B,) int32 and split_axes as kernels/correct has
    them; no parents where passes begin."""

    bricks: int
    parents: torch.Tensor | None
    split_axes: int = 0


class PassInnovations:
    """Puts a reference in place of what is decoded. of_passes: (n,) int32 of every pass, in order: by how much it is
    not as its own surroundings predict it."""

    def __init__(self, reference: WholeValues, implementation: str) -> None:
        self._reference, self.implementation = reference, implementation
        self.of_passes: list[torch.Tensor] = []
        self._room = Rooms(reference.top().device)

    def root(self, targets: Targets, quant_step: int, scale_class: int) -> torch.Tensor:
        """As in PassCoder."""
        return self._reference.top().view(-1)[targets.points.long()].long()

    def room(self, n: int) -> Predictions:
        """As in PassCoder: the same for every pass."""
        return self._room.predictions(n)

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """As in PassCoder."""
        reference = self._reference.level(pass_.level)
        self.of_passes.append(innovations_of(reference, predictions, destination, implementation=self.implementation))


def corrected(
    coder: PassCoder,
    missed: PassInnovations,
    correction: Correction | Weights,
    levels: Mapping[int, LevelBricks],
) -> PassCoder:
    """A coder whose predictions are corrected. missed: of the same passes; levels: with passes, by their numbers."""
    if isinstance(correction, Correction):
        return _GainCorrector(coder, missed, correction)
    return _NetworkCorrector(coder, missed, correction, levels)


class _Corrector:
    """What both corrections have in common."""

    def __init__(self, coder: PassCoder, missed: PassInnovations) -> None:
        self._coder, self._innovations, self._implementation = coder, deque(missed.of_passes), missed.implementation

    def root(self, targets: Targets, quant_step: int, scale_class: int) -> torch.Tensor:
        """As in PassCoder."""
        return self._coder.root(targets, quant_step, scale_class)

    def room(self, n: int) -> Predictions | None:
        """As in PassCoder."""
        return self._coder.room(n)


class _GainCorrector(_Corrector):
    """Corrects by gains and shifts."""

    def __init__(self, coder: PassCoder, missed: PassInnovations, correction: Correction) -> None:
        super().__init__(coder, missed)
        self._correction = correction

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """As in PassCoder."""
        correct_by_gain(
            predictions,
            self._innovations.popleft(),
            self._correction.gains[pass_.level],
            self._correction.shifts,
            pass_.quant_step,
            implementation=self._implementation,
        )
        self._coder.code(pass_, predictions, destination)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """A level as far as it is decoded: sums (B, 5, 64) int64 of errors and innovations; step: of its residuals."""

    number: int
    sums: torch.Tensor
    step: int


class _NetworkCorrector(_Corrector):
    """Corrects by a network. levels: by their numbers."""

    def __init__(
        self, coder: PassCoder, missed: PassInnovations, weights: Weights, levels: Mapping[int, LevelBricks]
    ) -> None:
        super().__init__(coder, missed)
        self._weights, self._levels = weights, levels
        self._level: _Level | None = None
        self._above: Above | None = None

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """As in PassCoder."""
        innovations, points = self._innovations.popleft(), destination.targets.points
        level = self._enter(pass_, points.device)
        view = PassView(
            level=pass_.level,
            axis=pass_.axis,
            phase=pass_.phase,
            quant_step=pass_.quant_step,
            sums=level.sums,
            above=self._above,
        )
        before = correct_by_network(
            predictions, innovations, points, self._weights, view, implementation=self._implementation
        )
        self._coder.code(pass_, predictions, destination)
        add_errors(destination, before, innovations, level.sums, implementation=self._implementation)

    def _enter(self, pass_: Pass, device: torch.device) -> _Level:
        """The level of a pass."""
        above = self._level
        if above is not None and above.number == pass_.level:
            return above
        bricks = self._levels[pass_.level]
        if above is not None:
            assert bricks.parents is not None
            self._above = Above(sums=above.sums, step=above.step, parents=bricks.parents, split_axes=bricks.split_axes)
        sums = torch.zeros((bricks.bricks, SUMS, BLOCKS), dtype=torch.int64, device=device)
        self._level = level = _Level(number=pass_.level, sums=sums, step=pass_.quant_step)
        return level
