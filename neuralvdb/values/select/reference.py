"""Whether a reference makes a grid smaller, and how it corrects predictions best, by a sample."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.correction_network import CorrectionNetwork
from neuralvdb.values.lattice.native import native_lattice
from neuralvdb.values.lattice.pass_order import all_passes
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import (
    GAINS,
    MOST_GAIN,
    SHIFTS,
    Correction,
    ReferenceValues,
    size_of,
)
from neuralvdb.values.lattice.tables import MOST, costs, default_rows, tables_of
from neuralvdb.values.lossless import by_component
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.sampling import FEW, Sample
from neuralvdb.volume import Tree

_WORTH = 0.98  # of the bits that a sample takes alone: a sample is not the grid
_FEWEST = 64  # points of a level that have a say on its gain
_WIDEST = 16  # scale classes that predictions are shifted by
_SHIFTS = np.array(sorted(range(-_WIDEST, _WIDEST + 1), key=abs))
_CLASSES = np.arange(SCALE_CLASSES)[:, None]


@dataclass(frozen=True)
class _Missed:
    """What predictions miss, in steps, and their scale classes; innovations in steps, and their sizes. All (n,)."""

    level: np.ndarray
    errors: np.ndarray
    scale_classes: np.ndarray
    innovations: np.ndarray
    sizes: np.ndarray


def try_reference(sample: Sample, candidate: Candidate, said: np.ndarray) -> Candidate:
    """The candidate with what another grid says of a tree, if a sample takes fewer bits so.

    said: float64 of the shape of the leaves' values.
    """
    tree, family = sample.tree, candidate.promise.mode.family
    reference = ReferenceValues.over(tree, said, Correction())
    missed = None if candidate.changes else _missed(tree, reference, sample.chunk(FEW), candidate)
    if missed is None:
        return candidate
    bits = costs(tables_of(default_rows(family), candidate.models.freq))
    prices = _Prices(missed, bits)
    best = prices.best()
    if (network := correction_network.shipped(family)) is not None:
        by_network = replace(reference, correction=network)
        left = _missed(tree, by_network, sample.chunk(FEW), candidate)
        assert left is not None
        best = min(best, _Priced(network, _Prices(left, bits).alone()), key=lambda priced: priced.bits)
    if best.bits >= _WORTH * prices.alone():
        return candidate
    return replace(candidate, reference=replace(reference, correction=best.correction))


@dataclass(frozen=True)
class _Priced:
    """A correction, and what a sample costs with it."""

    correction: Correction | CorrectionNetwork
    bits: float


class _Prices:
    """What a sample costs, in bits; bits: (64, 2 MOST + 1) of each residual in each class, multiples of 2^-20, so that
    sums of them are exact."""

    def __init__(self, missed: _Missed, bits: np.ndarray) -> None:
        self._missed, self._bits = missed, bits
        self._cells_of_zero = missed.scale_classes.astype(np.int64) * bits.shape[1] + MOST

    def alone(self) -> float:
        """Without a correction, by the best shift for all, as rows of tables do as well."""
        return self._shift(self._missed.errors, slice(None))[1]

    def best(self) -> _Priced:
        """The gains and shifts by which it costs least, and that."""
        missed = self._missed
        gains = tuple(self._gain_of(level) for level in range(GAINS))
        left = missed.errors - np.array(gains)[missed.level] / MOST_GAIN * missed.innovations
        shifted = [self._shift(left, missed.sizes == size) for size in range(SHIFTS)]
        return _Priced(Correction(gains, tuple(shift for shift, _ in shifted)), sum(price for _, price in shifted))

    def _gain_of(self, level: int) -> int:
        """The gain of a level, or that of all where it has few points."""
        of_level = self._missed.level == level
        return self._gain(of_level) if np.count_nonzero(of_level) >= _FEWEST else self._gain_of_all

    @cached_property
    def _gain_of_all(self) -> int:
        return self._gain(slice(None))

    def _gain(self, here: np.ndarray | slice) -> int:
        """The share of innovations that errors of some points are nearest to; none, or half of it, where that costs
        less."""
        errors, innovations = self._missed.errors[here], self._missed.innovations[here]
        power = float(innovations @ innovations)
        share = float(errors @ innovations) / power if power else 0.0
        gain = int(np.clip(np.rint(share * MOST_GAIN), 0, MOST_GAIN))

        def price(gain: int) -> float:
            cells = self._cells(errors - gain / MOST_GAIN * innovations, here)
            return float(self._bits.take(cells).sum())

        return min(gain, gain // 2, 0, key=price)

    def _shift(self, left: np.ndarray, here: np.ndarray | slice) -> tuple[int, float]:
        """The shift of scale classes by which some residuals cost least, and what they cost."""
        times = np.bincount(self._cells(left[here], here), minlength=self._bits.size).reshape(self._bits.shape)
        in_classes = times.astype(np.float64) @ self._bits.T  # of residuals of each class what they cost in each other
        prices = in_classes[_CLASSES, np.clip(_CLASSES + _SHIFTS, 0, SCALE_CLASSES - 1)].sum(0)
        best = int(np.argmin(prices))
        return int(_SHIFTS[best]), float(prices[best])

    def _cells(self, errors: np.ndarray, here: np.ndarray | slice) -> np.ndarray:
        """Where the residuals of errors, in steps, are in tables of bits."""
        residuals = np.minimum(np.maximum(np.rint(errors), -MOST), MOST)
        cells: np.ndarray = residuals.astype(np.int64) + self._cells_of_zero[here]
        return cells


def _missed(tree: Tree, reference: ReferenceValues, chunk: Chunk, candidate: Candidate) -> _Missed | None:
    """What happens where a sample is encoded without the reference's gains, or with its network; None where C++
    cannot."""
    promise, models = candidate.promise, candidate.models
    predictor = Predictor(models.families[promise.mode.family].networks)
    lattice = native_lattice(promise.mode.lattice, promise.quantiser, predictor, "native")
    if lattice is None:
        return None
    columns: list[tuple[np.ndarray, ...]] = []
    for component in range(by_component(tree.leaf).shape[2]):
        of_component = reference.of(tree, chunk, component)
        passes = lattice.compare(ChunkComponent.of(tree, chunk, component), of_component)
        for coding, (errors, scale_classes, unused) in zip(all_passes(promise.mode.lattice), passes, strict=True):
            missed = unused if len(unused) else np.zeros(len(errors), np.int32)
            level, sizes = np.full(len(errors), coding.level), size_of(missed, coding.quant_step)
            columns.append((level, errors, scale_classes, missed / coding.quant_step, sizes))
    return _Missed(*(np.concatenate(column) for column in zip(*columns, strict=True)))
