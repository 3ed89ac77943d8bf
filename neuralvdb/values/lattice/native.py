"""Whole components of chunks in one call: the compiled twins of mean.py and sample.py (values/native/*_lattice.h)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.dataclass import dataclass
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells, LayerSource, SymbolSink
from neuralvdb.values.lattice.constants import (
    LAYERS,
    MEAN_ROOT_CLASS,
    MEAN_TOP_STEP,
    SAMPLE_ROOT_CLASS,
    SAMPLE_STEPS,
)
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.mean_inputs import in_phase
from neuralvdb.values.lattice.pass_order import NetworkKey, Pass, all_passes
from neuralvdb.values.lattice.predictor import RULES, Predictor, native_layout
from neuralvdb.values.lattice.reference import Correction, Reference
from neuralvdb.values.lattice.sample_inputs import in_pass

_Coding = tuple[int, int, int, int, np.ndarray, _lattice.Layout]  # a pass as C++ takes it, but for its network
_MAX_KNEE = 1 << 30  # of lattices that C++ codes


@dataclass(frozen=True)
class MissedPass:
    """What predictions of a pass miss.

    errors: (n,) float32, in steps. scale_classes: (n,) uint8. innovations: (n,) int32, of the reference.
    corrected_errors, corrected_classes: the same where the reference's network corrects predictions; (0,) without one.
    """

    errors: np.ndarray
    scale_classes: np.ndarray
    innovations: np.ndarray
    corrected_errors: np.ndarray
    corrected_classes: np.ndarray


class NativeLattice:
    """A lattice of one grid. passes: all of them, with their networks; where a predictor for the mean lattice has none,
    interpolation alone predicts."""

    def __init__(self, kind: LatticeKind, quantiser: Quantiser, predictor: Predictor) -> None:
        mean = kind is LatticeKind.MEAN
        networks = tuple(predictor.native.get(network) for _, network in _codings(kind))
        self.passes = _passes(kind, quantiser.active_only and not mean, networks)
        self._rules = (quantiser.unit, quantiser.knee, quantiser.nonnegative)
        self._constants = Quantiser(quantiser.unit) if mean else quantiser
        self._threads = predictor.threads

    def encode(
        self,
        component: ChunkComponent,
        buffers: Sequence[SymbolSink],
        dead_zones: np.ndarray,
        reference: Reference | None = None,
    ) -> np.ndarray:
        """As Lattice.encode() does."""
        chunk = native_chunk(component, self._constants.nearest(component.constants))
        other = None if reference is None else native_reference(chunk, reference)
        coded, values = _lattice.encode(chunk, self.passes, self._rules, dead_zones, self._threads, other)
        for layer, residuals, scale_classes in coded:
            buffers[layer].put(residuals, scale_classes)
            buffers[layer].end()
        decoded: np.ndarray = values
        return decoded

    def decode(
        self, component: ChunkComponent, source: LayerSource, lod: int, reference: Reference | None
    ) -> LatticeCells:
        """As Lattice.decode() does."""
        layers = _Layers(source(layer) for layer in range(LAYERS - lod))
        chunk = native_chunk(component, self._constants.nearest(component.constants))
        other = None if reference is None else native_reference(chunk, reference)
        cells = _lattice.decode(chunk, self.passes, self._rules, layers.streams, lod, self._threads, other)
        layers.move()
        assert cells is not None
        return LatticeCells(*cells)

    def compare(self, component: ChunkComponent, reference: Reference) -> list[MissedPass]:
        """What predictions miss of a component that is coded alone, and with the network of a reference."""
        chunk = native_chunk(component, self._constants.nearest(component.constants))
        other = native_reference(chunk, reference)
        passes = _lattice.compare(chunk, self.passes, self._rules, self._threads, other)
        return [MissedPass(*arrays) for arrays in passes]


def native_lattice(
    kind: LatticeKind, quantiser: Quantiser, predictor: Predictor, implementation: str
) -> NativeLattice | None:
    """What codes whole components; None where the definition is asked for, or numbers are beyond those of C++."""
    if implementation == "reference" or not predictor.native or quantiser.knee > _MAX_KNEE:
        return None
    return NativeLattice(kind, quantiser, predictor)


def native_passes(kind: LatticeKind, networks: Iterable[_lattice.Network | None]) -> list[tuple[object, ...]]:
    """The passes of a lattice with their networks, as C++ takes them."""
    return [(*coding, network) for (coding, _), network in zip(_codings(kind), networks, strict=True)]


@functools.lru_cache(maxsize=32)
def _passes(kind: LatticeKind, active_only: bool, networks: tuple[_lattice.Network | None, ...]) -> _lattice.Passes:
    """The same, checked."""
    mean = kind is LatticeKind.MEAN
    rule = "mean" if mean else "active_only" if active_only else "sample"
    top = (MEAN_TOP_STEP, MEAN_ROOT_CLASS) if mean else (SAMPLE_STEPS[-1], SAMPLE_ROOT_CLASS)
    return _lattice.Passes(RULES.index(rule), top, native_passes(kind, networks))


def native_chunk(component: ChunkComponent, constants: np.ndarray) -> tuple[np.ndarray, ...]:
    """A component as C++ takes it. constants: (K,) int32, lattice values."""
    chunk = component.chunk
    return (
        np.ascontiguousarray(chunk.table),
        np.ascontiguousarray(chunk.leaves),
        np.ascontiguousarray(component.leaf_active),
        component.leaf_values,
        constants,
        component.constants_active.view(np.uint8),
    )


def native_reference(chunk: tuple[np.ndarray, ...], reference: Reference) -> tuple[object, ...]:
    """A reference as C++ takes it, of a chunk as C++ takes it."""
    correction, of_reference = reference.correction, (*chunk[:3], reference.component.leaf_values, *chunk[4:])
    if isinstance(correction, Correction):
        return of_reference, correction.gains, correction.shifts
    weights = correction.w1, correction.b1, correction.w2, correction.b2, correction.shifts.tolist()
    return of_reference, weights


class _Layers:
    """The decoders of a component's layers, as C++ takes them. Layers may share one."""

    def __init__(self, of_layers: Iterable[Decoder]) -> None:
        by_layer = list(of_layers)
        self._decoders = list(dict.fromkeys(by_layer))
        self._positions = np.array([decoder.position for decoder in self._decoders], np.int64)
        numbers = [self._decoders.index(decoder) for decoder in by_layer]
        streams = [decoder.stream for decoder in self._decoders]
        lookup = self._decoders[0].lookup
        self.streams = (lookup.symbols, lookup.codes, streams, self._positions, numbers)

    def move(self) -> None:
        """Tells the decoders what has been taken. Raises DamagedFile where that was more than they have."""
        for decoder, (bit, missing) in zip(self._decoders, self._positions.tolist(), strict=True):
            decoder.moved(bit, missing)


@functools.cache
def _codings(kind: LatticeKind) -> list[tuple[_Coding, NetworkKey]]:
    """The passes of a lattice as C++ takes them, and their networks."""
    return [(_coding(kind is LatticeKind.MEAN, coding), coding.network) for coding in all_passes(kind)]


def _coding(mean: bool, coding: Pass) -> _Coding:
    axis, phase = coding.axis, coding.phase
    offsets = np.flatnonzero(in_phase(phase) if mean else in_pass(axis, phase)).astype(np.int16)
    return coding.level, axis, coding.layer, coding.quant_step, offsets, native_layout(mean, axis, phase)
