"""The mean lattice of one component of one chunk: values to symbols with their means kept, and back.

The coarsest means come first, then level after level the differences of the two halves of each cell: the S+P transform
(Said and Pearlman 1996) with active voxels as weights and a neural predictor. Steps shrink by 2**0.6 from level to
level, a little faster than those of an orthonormal transform would. No error is promised here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.platform import return_memory
from neuralvdb.values.lattice import mean_inputs, residual
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells, LayerSource, Observer, Phase, SymbolSink
from neuralvdb.values.lattice.compand import compand, expand_whole
from neuralvdb.values.lattice.constants import (
    MAX_DECODED,
    MAX_RESIDUAL,
    MEAN_LEVELS,
    MEAN_ROOT_CLASS,
    MEAN_STEPS,
    POINTS_AT_A_TIME,
    SCALE_CLASSES,
)
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LatticeLevel, pieces
from neuralvdb.values.lattice.mean_inputs import MeanView, in_phase, targets
from neuralvdb.values.lattice.mean_pyramid import Cells, MeanLevel, TrueMeans, blank_means, mean_pyramid, shares, split
from neuralvdb.values.lattice.native import NativeLattice, native_lattice
from neuralvdb.values.lattice.pass_order import Pass, mean_levels, mean_passes, split_axis
from neuralvdb.values.lattice.points import Points, nonzero_points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import Corrector, Reference
from neuralvdb.values.lattice.reference_means import ReferenceMeans

_TOP = MEAN_LEVELS - 1
_TOP_STEP = MEAN_STEPS[-1]


class _Differences(Protocol):
    """Codes a pass."""

    def __call__(self, coding: Pass, points: Points, view: MeanView) -> np.ndarray:
        """(n,) int32: the differences of cells of a pass as they decode."""


@dataclass(frozen=True, kw_only=True)
class MeanLattice:
    """Codes components of chunks as means of cells.

    quantiser: of the grid's values
    predictor: with networks for this lattice
    dead_zones: (64,) float64, by how much an encoder rounds residuals of each scale class towards zero
    implementation: of what the predictor does not do: "native" or "reference"
    """

    quantiser: Quantiser
    predictor: Predictor
    dead_zones: np.ndarray = field(default_factory=lambda: np.zeros(SCALE_CLASSES))
    implementation: str = "native"

    @cached_property
    def _native(self) -> NativeLattice | None:
        """What codes whole components in C++."""
        return native_lattice(LatticeKind.MEAN, self.quantiser, self.predictor, self.implementation)

    @staticmethod
    def inputs_of(phase: int) -> int:
        """The number of inputs of a predictor."""
        return mean_inputs.inputs_of(phase)

    def blank_pyramid(self, component: ChunkComponent) -> list[MeanLevel]:
        """The levels as a decoder begins with, voxels first."""
        return mean_pyramid(component, self.quantiser)

    def encode(
        self,
        component: ChunkComponent,
        buffers: Sequence[SymbolSink],
        observer: Observer | None = None,
        reference: Reference | None = None,
    ) -> np.ndarray:
        """Puts a component in the buffers of its layers and returns its values (R, 512) int32 as they decode."""
        if self._native is not None and observer is None:
            return self._native.encode(component, buffers, self.dead_zones, reference)
        pyramid = self.blank_pyramid(component)
        true = TrueMeans(component, pyramid, self.quantiser)
        return _last(self.encode_levels(true, pyramid, buffers, observer, self._corrector(reference))).means

    def innovations(self, component: ChunkComponent, lod: int = 0) -> list[np.ndarray]:
        """(n,) int32 of every pass, in order: by how much a reference is not as its own surroundings predict it."""
        pyramid = self.blank_pyramid(component)
        true = ReferenceMeans(component, pyramid, self.quantiser)
        missed: list[np.ndarray] = []

        def take_pass(coding: Pass, points: Points, view: MeanView) -> np.ndarray:
            differences = true.differences(coding.level, points).astype(np.int32)
            missed.append(differences - self.predictor(view, points, coding).values)
            return differences

        top = self._top(pyramid[_TOP], true.means(_TOP, nonzero_points(pyramid[_TOP].coded)))
        _last(self._descend(list(pyramid), top, take_pass, lod))
        return missed

    def _corrector(self, reference: Reference | None, lod: int = 0) -> Corrector:
        return Corrector(None if reference is None else self.innovations(reference.component, lod), reference)

    def encode_levels(
        self,
        true: TrueMeans,
        pyramid: list[MeanLevel],
        buffers: Sequence[SymbolSink],
        observer: Observer | None = None,
        corrector: Corrector = Corrector(None, None),
    ) -> Iterator[Cells]:
        """Puts residuals in the buffers of their layers and yields level after level as it decodes, down to voxels.

        pyramid: as a decoder begins with, forgotten level by level.
        """
        points = nonzero_points(pyramid[_TOP].coded)
        means = compand(true.means(_TOP, points), self.quantiser.knee)
        whole = np.rint(means / _TOP_STEP).astype(np.int64)
        buffers[0].put(np.diff(whole, prepend=0), np.full(len(whole), MEAN_ROOT_CLASS, np.uint8))
        buffers[0].end()

        def encode_pass(coding: Pass, points: Points, view: MeanView) -> np.ndarray:
            exact = partial(true.differences, coding.level)
            if observer is not None:
                leaves = len(true.component)
                observer(Phase(coding=coding, points=points, view=view, true=exact, leaves=leaves))
            corrected = corrector(coding, points, view, self.predictor(view, points, coding))
            predicted = corrected.predictions
            decoded = np.empty_like(predicted.values)
            for piece in pieces(len(points), POINTS_AT_A_TIME):
                predictions, scale_classes = predicted.values[piece], predicted.scale_classes[piece]
                error = (exact(points[piece]) - predictions) / coding.quant_step
                size = np.floor(np.abs(error) + 0.5 - self.dead_zones[scale_classes]).clip(0, MAX_RESIDUAL)
                residuals = (np.sign(error) * size).astype(np.int64)
                buffers[coding.layer].put(residuals, scale_classes)
                decoded[piece] = _difference(predictions, residuals, coding)
            buffers[coding.layer].end()
            corrected.decoded(decoded)
            return decoded

        return self._descend(pyramid, self._top(pyramid[_TOP], whole * _TOP_STEP), encode_pass)

    def decode(
        self, component: ChunkComponent, source: LayerSource, lod: int = 0, reference: Reference | None = None
    ) -> LatticeCells:
        """Takes a component from the decoders of its layers, down to cells of 2**lod voxels. Raises DamagedFile."""
        if self._native is not None:
            return self._native.decode(component, source, lod, reference)
        corrector = self._corrector(reference, lod)
        cells = _last(self.decode_levels(self.blank_pyramid(component), source, lod, corrector))
        return LatticeCells(cells.level.table, cells.means, cells.level.coded)

    def decode_levels(
        self,
        pyramid: list[MeanLevel],
        source: LayerSource,
        lod: int = 0,
        corrector: Corrector = Corrector(None, None),
    ) -> Iterator[Cells]:
        """Takes residuals from the decoders of their layers and yields level after level, down to cells of 2**lod
        voxels.

        pyramid: forgotten level by level. Raises DamagedFile.
        """
        count = len(nonzero_points(pyramid[_TOP].coded))
        steps = residual.take(source(0), np.full(count, MEAN_ROOT_CLASS, np.uint8))
        whole = np.cumsum(steps, dtype=np.int64)

        def decode_pass(coding: Pass, points: Points, view: MeanView) -> np.ndarray:
            corrected = corrector(coding, points, view, self.predictor(view, points, coding))
            predicted = corrected.predictions
            decoded = residual.take(source(coding.layer), predicted.scale_classes)
            for piece in pieces(len(points), POINTS_AT_A_TIME):
                decoded[piece] = _difference(predicted.values[piece], decoded[piece].astype(np.int64), coding)
            corrected.decoded(decoded)
            return decoded

        return self._descend(pyramid, self._top(pyramid[_TOP], whole * _TOP_STEP), decode_pass, lod)

    def _top(self, level: MeanLevel, whole: np.ndarray) -> Cells:
        """The coarsest means. whole: (n,) int64, those of coded cells, companded."""
        lowest = 0 if self.quantiser.nonnegative else -MAX_DECODED
        companded = np.clip(whole, lowest, MAX_DECODED)
        means = blank_means(level)
        expanded = expand_whole(companded, self.quantiser.knee)
        means[nonzero_points(level.coded).index] = np.clip(expanded, -MAX_DECODED, MAX_DECODED)
        return Cells(level, means)

    def _descend(self, pyramid: list[MeanLevel], above: Cells, code: _Differences, lod: int = 0) -> Iterator[Cells]:
        """The given level and those below it, down to cells of 2**lod voxels."""
        yield above
        for j in mean_levels(lod):
            differences = self._differences(above, pyramid[j], code, j)
            pyramid.pop()
            return_memory()
            means = split(above, pyramid[j], split_axis(j), differences, self.quantiser, self.implementation)
            del differences
            above = Cells(pyramid[j], means)
            yield above

    def _differences(self, above: Cells, fine: MeanLevel, code: _Differences, j: int) -> np.ndarray:
        """(R, 512) int32: differences between the halves of a level's cells, of which both are coded."""
        share, both = shares(above.level, fine, split_axis(j), self.implementation)
        level = above.lattice_level(self.quantiser.knee, self.implementation)
        differences: LatticeLevel = replace(level, values=np.zeros_like(level.values), active=both)
        view = MeanView(level, differences, share)
        for coding in mean_passes(j):
            points = targets(both[: above.level.bricks], coding.phase)
            if coding.phase == 1:
                both[:, in_phase(1)] = 0  # what is left are those that are decoded
            decoded = code(coding, points, view)
            for piece in pieces(len(points), POINTS_AT_A_TIME):
                differences.values[points[piece].index] = decoded[piece]
        return differences.values


def _last(levels: Iterator[Cells]) -> Cells:
    """The last level that comes; the others are forgotten on the way."""
    (cells,) = deque(levels, maxlen=1)
    return cells


def _difference(predictions: np.ndarray, residuals: np.ndarray, coding: Pass) -> np.ndarray:
    return np.clip(predictions + residuals * coding.quant_step, -MAX_DECODED, MAX_DECODED)
