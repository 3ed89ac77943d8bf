"""Whole components of chunks in one call: the compiled twins of mean.py and sample.py (values/native/*_lattice.h)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells, LayerSource
from neuralvdb.values.lattice.constants import LAYERS, MEAN_ROOT_CLASS, MEAN_TOP_STEP
from neuralvdb.values.lattice.mean_inputs import in_phase
from neuralvdb.values.lattice.pass_order import Pass, mean_levels, mean_passes
from neuralvdb.values.lattice.predictor import RULES, Predictor, native_layout


class NativeMeans:
    """The mean lattice of one grid."""

    def __init__(self, quantiser: Quantiser, predictor: Predictor) -> None:
        passes = (coding for level in mean_levels() for coding in mean_passes(level))
        packed = [_packed(coding, in_phase(coding.phase), predictor, mean=True) for coding in passes]
        self._passes = _lattice.Passes(RULES.index("mean"), (MEAN_TOP_STEP, MEAN_ROOT_CLASS), packed)
        self._rules = (quantiser.unit, quantiser.knee, quantiser.nonnegative)
        self._threads = predictor.threads

    def decode(self, component: ChunkComponent, source: LayerSource, lod: int) -> LatticeCells:
        """As MeanLattice.decode() does."""
        constants = Quantiser(self._rules[0]).nearest(component.constants)
        layers = _Layers(source(layer) for layer in range(LAYERS - lod))
        chunk = _chunk(component, constants)
        cells = _lattice.decode_mean(chunk, self._passes, self._rules, layers.streams, lod, self._threads)
        layers.move()
        assert cells is not None
        return LatticeCells(*cells)


class _Layers:
    """The decoders of a component's layers, as C++ takes them. Layers may share one."""

    def __init__(self, of_layers: Iterable[Decoder]) -> None:
        by_layer = list(of_layers)
        self._decoders = list(dict.fromkeys(by_layer))
        self._positions = np.array([decoder.position for decoder in self._decoders], np.int64)
        numbers = [self._decoders.index(decoder) for decoder in by_layer]
        streams = [decoder.stream for decoder in self._decoders]
        self.streams = (self._decoders[0].slots, streams, self._positions, numbers)

    def move(self) -> None:
        """Tells the decoders what has been taken. Raises DamagedFile where that was more than they have."""
        for decoder, (bit, missing) in zip(self._decoders, self._positions.tolist(), strict=True):
            decoder.moved(bit, missing)


def _packed(coding: Pass, offsets: np.ndarray, predictor: Predictor, *, mean: bool) -> tuple[object, ...]:
    """A pass over the points at `offsets` (512,) bool, of the mean or the sample lattice."""
    layout = native_layout(mean, coding.axis, coding.phase)
    numbers = np.flatnonzero(offsets).astype(np.int16)
    network = predictor.native[coding.network]
    return coding.level, coding.axis, coding.layer, coding.quant_step, numbers, layout, network


def _chunk(component: ChunkComponent, constants: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where a component's leaves and constants are; constants: (K,) int32 lattice values."""
    leaves = np.ascontiguousarray(component.chunk.leaves, np.int64)
    masks = np.ascontiguousarray(component.leaf_active)
    return np.ascontiguousarray(component.table), leaves, masks, constants, component.constants_active.view(np.uint8)
