"""Networks of zeros, which leave interpolation as it is: better for fields far smoother than their error, on which
trained networks are wrong by more than nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import median
from neuralvdb.values.encoder import sample_size
from neuralvdb.values.lattice.chunks import ChunkComponent
from neuralvdb.values.lattice.constants import LAYERS, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.network_changes import (
    INTERPOLATION_ONLY,
    NetworkChange,
    NetworkChanges,
    interpolation_only,
)
from neuralvdb.values.lattice.pass_order import KEYS, NetworkKey, sample_levels, sample_passes
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.tables import MOST, costs
from neuralvdb.values.lossless import by_component
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.sampling import FEW, MANY, Sample, bricks_of

_SMOOTH = 0.1  # times the change to a neighbour, by which interpolation is off at most
_SURE = 0.95  # of the bytes that trained networks take on a sample: a sample is not the grid
_BATCHES = [coding.network for level in sample_levels() for coding in sample_passes(level)]


def try_interpolation_only(sample: Sample, candidate: Candidate) -> Candidate:
    """The candidate with networks of zeros, and with or without inactive neighbours, if samples take fewer bytes so.

    Both samples, of few and of many leaves, must shrink by 5 %, else the candidate is unchanged.
    """
    mode = candidate.promise.mode
    if mode.lattice is LatticeKind.MEAN or not _is_smooth(sample):
        return candidate  # presets of the mean lattice have no error that a field is likely to be smoother than
    best = candidate
    for leaves in (FEW, MANY):
        promises = [replace(candidate.promise, mode=replace(mode, active_only=active)) for active in (False, True)]
        tried = [_on_sample(sample, replace(candidate, promise=promise), leaves) for promise in promises]
        least = min(tried, key=lambda sampled: sampled.size)
        if least.size > _SURE * sample_size(sample.tree, sample.chunk(leaves), candidate.promise, candidate.models):
            return candidate
        best = least.candidate
    return best


def _is_smooth(sample: Sample) -> bool:
    """Whether cubic interpolation is off by far less than values change to a neighbour, in the median of a sample."""
    bricks = bricks_of(sample.tree, sample.chunk(MANY))
    errors, slopes = [], []
    for axis in (1, 2, 3):
        line = np.moveaxis(bricks.values, axis, 0)
        active = np.moveaxis(bricks.active, axis, 0)[:7].all(0)
        with np.errstate(invalid="ignore", over="ignore"):
            errors.append((line[3] - (9 * (line[2] + line[4]) - line[0] - line[6]) / 16)[active].reshape(-1))
            slopes.append((line[4] - line[2])[active].reshape(-1) / 2)
    error, slope = (np.abs(np.concatenate(arrays)) for arrays in (errors, slopes))
    finite = np.isfinite(error) & np.isfinite(slope)
    return bool(finite.any() and median(error[finite]) < _SMOOTH * median(slope[finite]))


class _Counts:
    """A symbol buffer that counts the residuals of each scale class, batch by batch."""

    def __init__(self) -> None:
        self.batches = [np.zeros((SCALE_CLASSES, 2 * MOST + 1), np.int64)]

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Adds residuals (n,) int64 with their scale classes (n,) uint8."""
        column = np.clip(residuals, -MOST, MOST) + MOST
        np.add.at(self.batches[-1], (scale_classes, column), 1)

    def end(self) -> None:
        """Ends a batch."""
        self.batches.append(np.zeros_like(self.batches[-1]))


@dataclass(frozen=True)
class _Tried:
    """A candidate and the bytes that a sample takes with it."""

    candidate: Candidate
    size: float


def _on_sample(sample: Sample, candidate: Candidate, leaves: int) -> _Tried:
    """The candidate with the networks of zeros whose scales suit a sample of so many leaves.

    Scales do not change what is decoded: the number of a network only shifts scale classes.
    """
    promise, counts = candidate.promise, _count_residuals(sample, candidate, leaves)
    prices = costs(candidate.models.families[promise.mode.family].tables)
    shifted = [np.maximum(np.arange(SCALE_CLASSES) - number, 0) for number in range(INTERPOLATION_ONLY)]
    bits = {key: [float((counts[key] * prices[classes]).sum()) for classes in shifted] for key in KEYS}
    changes: NetworkChanges = {key: NetworkChange(int(np.argmin(bits[key])), {}, {}, {}) for key in KEYS}
    return _Tried(replace(candidate, changes=changes), sum(min(of_key) for of_key in bits.values()) / 8)


def _count_residuals(sample: Sample, candidate: Candidate, leaves: int) -> dict[NetworkKey, np.ndarray]:
    """(classes, 2 MOST + 1) int64, how often each residual occurs that a network of zeros leaves, by its key."""
    promise, tree, chunk = candidate.promise, sample.tree, sample.chunk(leaves)
    of_kind = lattice_of(promise.mode.lattice)
    predictor = Predictor({key: interpolation_only(of_kind.inputs_of(key.phase)) for key in KEYS})
    lattice = of_kind(quantiser=promise.quantiser, predictor=predictor)
    counts = {key: np.zeros((SCALE_CLASSES, 2 * MOST + 1), np.int64) for key in KEYS}
    for component in range(by_component(tree.leaf).shape[2]):
        buffer = _Counts()
        lattice.encode(ChunkComponent.of(tree, chunk, component), [buffer] * LAYERS)
        for key, batch in zip(_BATCHES, buffer.batches[1:-1], strict=True):  # the first one is the coarsest points
            counts[key] += batch
    return counts
