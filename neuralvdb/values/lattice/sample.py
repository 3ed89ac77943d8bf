"""The sample lattice of one component of one chunk: values to symbols under a promised maximum error, and back.

The coarsest points come first, then level after level the points midway between known ones (sample_inputs.py), each as
the difference to its prediction in steps. Later points see what the decoder will have. Every level is a layer, the two
coarsest are one; each layer has a coder of its own, so that a decoder can stop before the finer ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cached_property, partial

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice import residual, sample_inputs
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells, LayerSource, Observer, Phase, SymbolSink
from neuralvdb.values.lattice.constants import (
    EDGE,
    LIMIT,
    MAX_DECODED,
    MAX_RESIDUAL,
    POINTS_AT_A_TIME,
    ROWS_AT_A_TIME,
    SAMPLE_LEVELS,
    SAMPLE_ROOT_CLASS,
    SAMPLE_STEPS,
    SCALE_CLASSES,
    SLOTS,
)
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LatticeLevel, pieces, sample_pyramid, upsample_into
from neuralvdb.values.lattice.native import NativeLattice, native_lattice
from neuralvdb.values.lattice.pass_order import Pass, sample_levels, sample_passes
from neuralvdb.values.lattice.points import Points, nonzero_points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import Corrector, Reference
from neuralvdb.values.lattice.sample_inputs import SampleView, targets

_TOP = SAMPLE_LEVELS - 1
_TOP_STEP = SAMPLE_STEPS[_TOP]


@dataclass(frozen=True, kw_only=True)
class SampleLattice:
    """Codes components of chunks as points.

    quantiser: of the grid's values
    predictor: with networks for this lattice
    dead_zones: none here, residuals are rounded to the nearest step, as the promised error needs it
    implementation: of what the predictor does not do: "native" or "reference"
    """

    quantiser: Quantiser
    predictor: Predictor
    dead_zones: np.ndarray = field(default_factory=lambda: np.zeros(SCALE_CLASSES))
    implementation: str = "native"

    @cached_property
    def _native(self) -> NativeLattice | None:
        """What codes whole components in C++."""
        return native_lattice(LatticeKind.SAMPLE, self.quantiser, self.predictor, self.implementation)

    @staticmethod
    def inputs_of(phase: int) -> int:
        """The number of inputs of a predictor."""
        return sample_inputs.inputs_of(phase)

    def blank_pyramid(self, component: ChunkComponent) -> list[LatticeLevel]:
        """The levels as a decoder begins with, voxels first: coded points are 0."""
        count = len(component)
        values = np.empty((count + len(component.constants), SLOTS), np.int32)
        active = np.empty(values.shape, np.uint8)
        for rows in pieces(count, ROWS_AT_A_TIME):
            active[rows] = on = component.active(rows)
            values[rows] = np.where(on, 0, self.quantiser.nearest(component.rows(rows)))
        values[count:] = self.quantiser.nearest(component.constants)[:, None]
        active[count:] = component.constants_active[:, None]
        return sample_pyramid(LatticeLevel(component.low, component.table, values, active, active[:count]))

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
        corrector = self._corrector(reference)
        self.encode_pyramid(TruePoints(component, pyramid, self.quantiser), buffers, observer, corrector)
        return pyramid[0].values

    def innovations(self, component: ChunkComponent, lod: int = 0) -> Iterator[np.ndarray]:
        """(n,) int32 of every pass, in order: by how much a reference is not as its own surroundings predict it."""
        pyramid = self.blank_pyramid(component)
        true = TruePoints(component, pyramid, self.quantiser)

        points = nonzero_points(pyramid[_TOP].coded)
        pyramid[_TOP].values[points.index] = self.quantiser.nearest(true.of(_TOP, points))
        for coding in _passes(pyramid, lod):
            level = pyramid[coding.level]
            points, view = targets(level, coding.axis, coding.phase), SampleView(level, self.quantiser.active_only)
            values = self.quantiser.nearest(true.of(coding.level, points))
            yield values - self.predictor(view, points, coding).values
            level.values[points.index] = values

    def _corrector(self, reference: Reference | None, lod: int = 0) -> Corrector:
        return Corrector(None if reference is None else self.innovations(reference.component, lod), reference)

    def encode_pyramid(
        self,
        true: TruePoints,
        buffers: Sequence[SymbolSink],
        observer: Observer | None = None,
        corrector: Corrector = Corrector(None, None),
    ) -> None:
        """Puts residuals in the buffers of their layers and decoded values in the levels of true.pyramid."""
        pyramid = true.pyramid
        points = nonzero_points(pyramid[_TOP].coded)
        whole = np.rint(_finite(true.values(_TOP, points)) / _TOP_STEP).astype(np.int64)
        buffers[0].put(np.diff(whole, prepend=0), np.full(len(whole), SAMPLE_ROOT_CLASS, np.uint8))
        buffers[0].end()
        pyramid[_TOP].values[points.index] = whole * _TOP_STEP
        for coding in _passes(pyramid):
            self._encode_pass(coding, true, buffers[coding.layer], observer, corrector)

    def _encode_pass(
        self, coding: Pass, true: TruePoints, buffer: SymbolSink, observer: Observer | None, corrector: Corrector
    ) -> None:
        level, step = true.pyramid[coding.level], coding.quant_step
        points, view = targets(level, coding.axis, coding.phase), SampleView(level, self.quantiser.active_only)
        exact = partial(true.values, coding.level)
        if observer is not None:
            observer(Phase(coding=coding, points=points, view=view, true=exact, leaves=len(true.component)))
        corrected = corrector(coding, points, view, self.predictor(view, points, coding))
        predicted = corrected.predictions
        for piece in pieces(len(points), POINTS_AT_A_TIME):
            predictions, scale_classes = predicted.values[piece], predicted.scale_classes[piece]
            error = (_finite(exact(points[piece])) - predictions) / step
            residuals = np.clip(np.rint(error), -MAX_RESIDUAL, MAX_RESIDUAL).astype(np.int64)
            buffer.put(residuals, scale_classes)
            level.values[points[piece].index] = _clamped(predictions + residuals * step)
        buffer.end()
        corrected.decoded(level.values[points.index])

    def decode(
        self, component: ChunkComponent, source: LayerSource, lod: int = 0, reference: Reference | None = None
    ) -> LatticeCells:
        """Takes a component from the decoders of its layers, down to points 2**lod voxels apart. Raises DamagedFile."""
        if self._native is not None:
            return self._native.decode(component, source, lod, reference)
        corrector = self._corrector(reference, lod)
        pyramid = self.blank_pyramid(component)
        points = nonzero_points(pyramid[_TOP].coded)
        differences = residual.take(source(0), np.full(len(points), SAMPLE_ROOT_CLASS, np.uint8))
        pyramid[_TOP].values[points.index] = _clamped(np.cumsum(differences, dtype=np.int64) * _TOP_STEP)
        for coding in _passes(pyramid, lod):
            self._decode_pass(coding, pyramid[coding.level], source, corrector)
        level = pyramid[lod]
        return LatticeCells(level.table, level.values, level.coded)

    def _decode_pass(self, coding: Pass, level: LatticeLevel, source: LayerSource, corrector: Corrector) -> None:
        points, view = targets(level, coding.axis, coding.phase), SampleView(level, self.quantiser.active_only)
        corrected = corrector(coding, points, view, self.predictor(view, points, coding))
        predicted = corrected.predictions
        residuals = residual.take(source(coding.layer), predicted.scale_classes)
        for piece in pieces(len(points), POINTS_AT_A_TIME):
            values = predicted.values[piece] + residuals[piece].astype(np.int64) * coding.quant_step
            level.values[points[piece].index] = _clamped(values)
        corrected.decoded(level.values[points.index])


@dataclass(frozen=True)
class TruePoints:
    """The exact lattice values of a component; pyramid: its levels, which say what lies where."""

    component: ChunkComponent
    pyramid: list[LatticeLevel]
    quantiser: Quantiser

    def values(self, level: int, points: Points) -> np.ndarray:
        """(n,) float64: the exact lattice values of coded points of a level."""
        return self.quantiser.exact(self.of(level, points))

    def of(self, level: int, points: Points) -> np.ndarray:
        """(n,): the values of coded points of a level."""
        return self.component.points(self._voxels(level, points))

    def _voxels(self, level: int, points: Points) -> Points:
        """The same points on level 0."""
        if level == 0:
            return points
        in_brick = np.stack(np.unravel_index(points.offset, (EDGE,) * 3), 1)
        point = (self.pyramid[level].cells[points.brick] * EDGE + in_brick) << level
        x, y, z = (point % EDGE).T
        return Points(self.pyramid[0].table[tuple((point // EDGE).T)], x * EDGE**2 + y * EDGE + z)


def _passes(pyramid: list[LatticeLevel], lod: int = 0) -> Iterator[Pass]:
    """All passes, coarse to fine; brings decoded points down to each level first."""
    for level in sample_levels(lod):
        upsample_into(pyramid[level + 1], pyramid[level])
        yield from sample_passes(level)


def _finite(values: np.ndarray) -> np.ndarray:
    """Values that the lattice can hold; those that it cannot are outliers, stored apart."""
    return np.clip(np.nan_to_num(values, nan=0.0), -LIMIT, LIMIT)


def _clamped(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -MAX_DECODED, MAX_DECODED).astype(np.int32)
