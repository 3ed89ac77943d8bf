"""Whether a reference makes a grid smaller, and how it corrects predictions best, by a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.chunks import ChunkComponent
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

_WORTH = 0.98  # of the bits that a sample takes alone: a sample is not the grid
_FEWEST = 64  # points of a level that have a say on its gain
_WIDEST = 16  # scale classes that predictions are shifted by
_SHIFTS = np.array(sorted(range(-_WIDEST, _WIDEST + 1), key=abs))
_CLASSES = np.arange(SCALE_CLASSES)[:, None]


@dataclass(frozen=True)
class _Missed:
    """What predictions miss, in steps, and their scale classes. All (n,)."""

    errors: np.ndarray
    scale_classes: np.ndarray


@dataclass(frozen=True)
class _Innovations:
    """Levels of points; innovations in steps, and their sizes. All (n,)."""

    level: np.ndarray
    values: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class _Sampled:
    """What a sample says: what is missed alone, and with the reference's network; innovations of the reference."""

    alone: _Missed
    corrected: _Missed
    innovations: _Innovations


@dataclass(frozen=True)
class Selected:
    """A candidate, and the number of what others said that it is corrected by; None where by nothing."""

    candidate: Candidate
    said: int | None = None


def choose_reference(
    sample: Sample, candidate: Candidate, said: Iterable[np.ndarray], free_threads: Callable[[], int] = lambda: 1
) -> Selected:
    """The candidate with what others say of a tree, the one by which a sample takes the fewest bits, if they are fewer
    so.

    said: float64 of the shape of the leaves' values each, made one after the other. free_threads: how many may be used
    from now on.
    """
    best, selected = None, Selected(candidate)
    for number, values in enumerate(() if candidate.changes else said):
        tried = _best(sample, candidate, values, free_threads())
        if tried is not None and (best is None or tried.bits < best.bits):
            best, selected = tried, Selected(replace(candidate, reference=tried.reference), number)
    return Selected(candidate) if best is None or best.bits >= _WORTH * best.alone else selected


@dataclass(frozen=True)
class _Best:
    """A reference that corrects best, and what a sample costs with it and alone."""

    reference: ReferenceValues
    bits: float
    alone: float


def _best(sample: Sample, candidate: Candidate, said: np.ndarray, threads: int) -> _Best | None:
    """What another grid says; None where C++ cannot tell."""
    tree, family = sample.tree, candidate.promise.mode.family
    network = correction_network.shipped(family)
    reference = ReferenceValues.over(tree, said, network or Correction())
    sampled = _missed(sample, reference, candidate, threads)
    if sampled is None:
        return None
    bits = costs(tables_of(default_rows(family), candidate.models.freq))
    alone = _Prices(sampled.alone, bits)
    best = alone.with_gains(sampled.innovations)
    if network is not None:
        by_network = _Priced(network, _Prices(sampled.corrected, bits).shifted())
        best = min(best, by_network, key=lambda priced: priced.bits)
    return _Best(replace(reference, correction=best.correction), best.bits, alone.shifted())


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

    def shifted(self) -> float:
        """By the best shift for all, which rows of tables do as well."""
        return self._shift(self._missed.errors, slice(None))[1]

    def with_gains(self, innovations: _Innovations) -> _Priced:
        """The gains and shifts by which it costs least, and that."""
        errors, of_all = self._missed.errors, self._gain(innovations, slice(None))
        of_level = [innovations.level == level for level in range(GAINS)]
        enough = [np.count_nonzero(here) >= _FEWEST for here in of_level]
        gains = tuple(self._gain(innovations, of_level[i]) if enough[i] else of_all for i in range(GAINS))
        left = errors - np.array(gains)[innovations.level] / MOST_GAIN * innovations.values
        shifted = [self._shift(left, innovations.sizes == size) for size in range(SHIFTS)]
        return _Priced(Correction(gains, tuple(shift for shift, _ in shifted)), sum(price for _, price in shifted))

    def _gain(self, of: _Innovations, here: np.ndarray | slice) -> int:
        """The share of innovations that errors of some points are nearest to; none, or half of it, where that costs
        less."""
        errors, innovations = self._missed.errors[here], of.values[here]
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


def _missed(sample: Sample, reference: ReferenceValues, candidate: Candidate, threads: int) -> _Sampled | None:
    """What happens where a sample is encoded without the reference, and with its network; None where C++ cannot."""
    tree, chunk = sample.tree, sample.chunk(FEW)
    promise, models = candidate.promise, candidate.models
    predictor = Predictor(models.families[promise.mode.family].networks, threads=threads)
    lattice = native_lattice(promise.mode.lattice, promise.quantiser, predictor, "native")
    if lattice is None:
        return None
    columns: list[tuple[np.ndarray, ...]] = []
    for component in range(by_component(tree.leaf).shape[2]):
        of_component = reference.of(tree, chunk, component)
        passes = lattice.compare(ChunkComponent.of(tree, chunk, component), of_component)
        for coding, missed in zip(all_passes(promise.mode.lattice), passes, strict=True):
            level, step = np.full(len(missed.errors), coding.level), coding.quant_step
            innovations = missed.innovations / step, size_of(missed.innovations, step)
            corrected = missed.corrected_errors, missed.corrected_classes
            columns.append((missed.errors, missed.scale_classes, *corrected, level, *innovations))
    errors, classes, *corrected_arrays, level, innovation, sizes = (
        np.concatenate(c) for c in zip(*columns, strict=True)
    )
    return _Sampled(_Missed(errors, classes), _Missed(*corrected_arrays), _Innovations(level, innovation, sizes))
