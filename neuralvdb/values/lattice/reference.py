"""Predictions corrected by a reference: another field, known everywhere, that resembles the one that is coded.

The same networks predict the reference from its own surroundings. What they miss there, its innovation, they are likely
to miss here too: a share of it is added to the prediction, and its size tells how wide residuals will be. Which share,
and how wide, numbers of the grid say, or a network that sees how right the reference was nearby.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent
from neuralvdb.values.lattice.coding import View
from neuralvdb.values.lattice.constants import MAX_PREDICTION, SCALE_CLASSES
from neuralvdb.values.lattice.correction_network import CorrectionNetwork, inputs_of
from neuralvdb.values.lattice.nearby import Nearby
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.pass_order import Pass
from neuralvdb.values.lattice.points import Points
from neuralvdb.volume.grid import LeafLevel, Tree, unpack

GAINS = 12  # levels with a gain of their own, as many as the mean lattice has
MOST_GAIN, GAIN_BITS = 16, 4  # gains are in 1/16
SIZES = (4, 11, 32, 96)  # innovations in 1/16 step where another shift begins
SHIFTS = len(SIZES) + 1  # of scale classes, by the size of innovations
MOST_SHIFT = 32


@dataclass(frozen=True)
class Correction:
    """How innovations correct predictions.

    gains: of each level, in 1/16, 0 to 16. shifts: added to scale classes by the size of innovations, -32 to 32.
    """

    gains: tuple[int, ...] = (MOST_GAIN,) * GAINS
    shifts: tuple[int, ...] = (0,) * SHIFTS

    def valid(self) -> bool:
        """Whether the numbers are possible, as those of a damaged archive may not be."""
        lengths = len(self.gains) == GAINS and len(self.shifts) == SHIFTS
        gains = all(0 <= gain <= MOST_GAIN for gain in self.gains)
        return lengths and gains and all(abs(shift) <= MOST_SHIFT for shift in self.shifts)

    def apply(self, predicted: Predictions, innovations: np.ndarray, coding: Pass) -> Predictions:
        """Predictions of a pass, corrected; innovations: (n,) int32, in lattice units."""
        more = (self.gains[coding.level] * innovations.astype(np.int64) + 8) >> GAIN_BITS
        values = np.clip(predicted.values + more, -MAX_PREDICTION, MAX_PREDICTION).astype(np.int32)
        shifts = np.array(self.shifts)[size_of(innovations, coding.quant_step)]
        scale_classes = np.clip(predicted.scale_classes + shifts, 0, SCALE_CLASSES - 1).astype(np.uint8)
        return Predictions(values, scale_classes)


def size_of(innovations: np.ndarray, step: int) -> np.ndarray:
    """(n,) int64, 0 to 4: how large innovations are beside a step."""
    sixteenths = 16 * np.abs(innovations.astype(np.int64))
    sizes: np.ndarray = np.sum([sixteenths >= size * step for size in SIZES], axis=0)
    return sizes


@dataclass(frozen=True)
class Reference:
    """A component of the reference, in the same chunk, and how it corrects predictions."""

    component: ChunkComponent
    correction: Correction | CorrectionNetwork


@dataclass(frozen=True)
class ReferenceValues:
    """What a reference says of a tree, values (N, 512[, C]) as its leaves have them, and how it corrects."""

    values: np.ndarray
    correction: Correction | CorrectionNetwork

    @classmethod
    def over(cls, tree: Tree, said: np.ndarray, correction: Correction | CorrectionNetwork) -> ReferenceValues:
        """What is said, float64 of the shape of the leaves' values, of active voxels; others are as in the tree."""
        values = tree.leaf.values
        active = unpack(tree.leaf.active).reshape(values.shape[:2] + (1,) * (values.ndim - 2))
        with np.errstate(over="ignore"):
            return cls(np.where(active, said.astype(values.dtype), values), correction)

    @property
    def by_component(self) -> np.ndarray:
        """(N, 512, C): the values."""
        return self.values.reshape(*self.values.shape[:2], -1)

    def of(self, tree: Tree, chunk: Chunk, component: int) -> Reference:
        """The reference of a component of a chunk of the tree."""
        leaf = LeafLevel(tree.leaf.active, self.values)
        return Reference(ChunkComponent.of(replace(tree, leaf=leaf), chunk, component), self.correction)


class Corrector:
    """Corrects pass after pass. innovations: of every pass, in order; None where there is no reference."""

    def __init__(self, innovations: Iterable[np.ndarray] | None, reference: Reference | None) -> None:
        self._innovations = None if innovations is None else deque(innovations)
        self._reference = reference
        self._nearby = Nearby()

    def __call__(self, coding: Pass, points: Points, view: View, predicted: Predictions) -> CorrectedPass:
        """The predictions of the next pass, corrected if there is a reference."""
        if self._innovations is None or self._reference is None:
            return CorrectedPass(predicted)
        correction, innovations = self._reference.correction, self._innovations.popleft()
        if isinstance(correction, Correction):
            return CorrectedPass(correction.apply(predicted, innovations, coding))
        self._nearby.enter(view.level, coding.level, coding.quant_step)
        wide, blocks = innovations.astype(np.int64), self._nearby.blocks(points)
        corrected = correction.correct(predicted, inputs_of(predicted.scale_classes, wide, coding, blocks))

        def learn(decoded: np.ndarray) -> None:
            self._nearby.add(points, decoded.astype(np.int64) - predicted.values, wide)

        return CorrectedPass(corrected, learn)


@dataclass(frozen=True)
class CorrectedPass:
    """Predictions of a pass. decoded: to be told the values (n,) of its points, in lattice units."""

    predictions: Predictions
    decoded: Callable[[np.ndarray], None] = lambda _: None
