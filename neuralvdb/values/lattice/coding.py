"""What the coders of both lattices share with those who call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.inputs import InputLayout, PredictorInputs
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.pass_order import Pass
from neuralvdb.values.lattice.points import Points

LayerSource = Callable[[int], Decoder]  # called with a layer, in order from 0: the decoder to take it from


class SymbolSink(Protocol):
    """Where an encoder puts the residuals of a layer."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Adds residuals (n,) int32 or int64, in steps, with their scale classes (n,) uint8, to the last batch."""

    def end(self) -> None:
        """Ends a batch."""


class View(Protocol):
    """What predictors see during a pass: SampleView or MeanView."""

    @property
    def level(self) -> LatticeLevel:
        """The level of the points that are seen."""

    def layout(self, coding: Pass) -> InputLayout:
        """The inputs of a pass."""

    def inputs(self, points: Points, coding: Pass) -> PredictorInputs:
        """Inputs for points of a pass."""


class TrueValues(Protocol):
    """What is to be predicted."""

    def __call__(self, points: Points) -> np.ndarray:
        """(n,) floats, in lattice units."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A pass that is about to be coded.

    coding: the pass
    points: all of its points
    view: what predictors see
    true: gives the true values of points
    leaves: how many leaves the chunk has
    """

    coding: Pass
    points: Points
    view: View
    true: TrueValues
    leaves: int


class Observer(Protocol):
    """Sees every phase while a component is encoded."""

    def __call__(self, phase: Phase) -> None:
        """Called before the phase is predicted."""


@dataclass(frozen=True)
class LatticeCells:
    """What a component decodes to. table: (X, Y, Z) int32, row of each brick of the chunk's box; values: (R, 512)
    int32, in lattice units; coded: (B, 512), not 0 where a value was coded."""

    table: np.ndarray
    values: np.ndarray
    coded: np.ndarray
