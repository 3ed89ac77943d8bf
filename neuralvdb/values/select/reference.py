"""Whether a reference makes a grid smaller, and how it corrects predictions best, by a sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.encoder import sample_size
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.native import native_lattice
from neuralvdb.values.lattice.pass_order import all_passes
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import (
    GAIN_BITS,
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

_WORTH = 0.98  # of the bytes that a sample takes alone: a sample is not the grid
_FEWEST = 64  # points of a level that have a say on its gain
_WIDEST = 16  # scale classes that predictions are shifted by


@dataclass(frozen=True)
class _Missed:
    """What predictions miss, in steps, and their scale classes; innovations in steps, and their sizes. All (n,)."""

    level: np.ndarray
    errors: np.ndarray
    scale_classes: np.ndarray
    innovations: np.ndarray
    sizes: np.ndarray


def try_reference(sample: Sample, candidate: Candidate, said: np.ndarray) -> Candidate:
    """The candidate with what another grid says of a tree, if a sample takes fewer bytes so.

    said: float64 of the shape of the leaves' values.
    """
    tree, chunk, promise, models = sample.tree, sample.chunk(FEW), candidate.promise, candidate.models
    missed = _missed(tree, ReferenceValues.over(tree, said, Correction()), chunk, candidate)
    if missed is None or candidate.changes:
        return candidate
    reference = ReferenceValues.over(tree, said, _best(missed, candidate))
    size, alone = (sample_size(tree, chunk, promise, models, other) for other in (reference, None))
    return replace(candidate, reference=reference) if size < _WORTH * alone else candidate


def _best(missed: _Missed, candidate: Candidate) -> Correction:
    """The correction by which what is missed takes the fewest bits."""
    gains = tuple(_gain(missed, level) for level in range(GAINS))
    left = missed.errors - np.array(gains)[missed.level] / (1 << GAIN_BITS) * missed.innovations
    residuals = np.clip(np.rint(left), -MOST, MOST).astype(np.int64) + MOST
    family = candidate.promise.mode.family
    bits = costs(tables_of(default_rows(family), candidate.models.freq))
    shifts = tuple(_shift(bits, residuals, missed.scale_classes, missed.sizes == size) for size in range(SHIFTS))
    return Correction(gains, shifts)


def _missed(tree: Tree, reference: ReferenceValues, chunk: Chunk, candidate: Candidate) -> _Missed | None:
    """What happens where a sample is encoded without the reference; None where C++ cannot."""
    promise, models = candidate.promise, candidate.models
    predictor = Predictor(models.families[promise.mode.family].networks)
    lattice = native_lattice(promise.mode.lattice, promise.quantiser, predictor, "native")
    if lattice is None:
        return None
    columns: list[tuple[np.ndarray, ...]] = []
    for component in range(by_component(tree.leaf).shape[2]):
        of_component = reference.of(tree, chunk, component)
        passes = lattice.compare(ChunkComponent.of(tree, chunk, component), of_component)
        for coding, (errors, scale_classes, missed) in zip(all_passes(promise.mode.lattice), passes, strict=True):
            level, sizes = np.full(len(errors), coding.level), size_of(missed, coding.quant_step)
            columns.append((level, errors, scale_classes, missed / coding.quant_step, sizes))
    return _Missed(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _gain(missed: _Missed, level: int) -> int:
    """The share of innovations that errors of a level, or of all where it has few, are nearest to."""
    here = missed.level == level
    here = here if here.sum() >= _FEWEST else np.ones_like(here)
    innovations = missed.innovations[here]
    power = float(innovations @ innovations)
    share = float(missed.errors[here] @ innovations) / power if power else 0.0
    return int(np.clip(np.rint(share * MOST_GAIN), 0, MOST_GAIN))


def _shift(bits: np.ndarray, residuals: np.ndarray, scale_classes: np.ndarray, here: np.ndarray) -> int:
    """The shift of scale classes by which some residuals take the fewest bits, 0 where they are none."""
    counts = np.zeros(bits.shape, np.int64)
    np.add.at(counts, (scale_classes[here], residuals[here]), 1)
    classes = np.arange(SCALE_CLASSES)
    shifts = sorted(range(-_WIDEST, _WIDEST + 1), key=abs)
    prices = [float((counts * bits[np.clip(classes + shift, 0, SCALE_CLASSES - 1)]).sum()) for shift in shifts]
    return shifts[int(np.argmin(prices))]
