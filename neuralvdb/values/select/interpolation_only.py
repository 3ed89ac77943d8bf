"""Whether a grid is coded in fewer bytes by interpolation-only networks, which predict what cubic interpolation gives.

So are fields far smoother than their error: there, trained networks can only be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.values import encoder
from neuralvdb.values.lattice import chunks
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
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.schedule import KEYS, sample_levels, sample_passes
from neuralvdb.values.lattice.tables import MOST, costs
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.search import FEW, MANY, bricks_of
from neuralvdb.volume.grid import Tree

_SMOOTH = 0.1  # times half of what it goes through, that interpolation is off by at most
_SURE = 0.95  # of the bytes that trained networks take on a sample: a sample is not the grid
_BATCHES = [one.network for level in sample_levels() for one in sample_passes(level)]


def plain_for(tree: Tree, promise: Promise, library: ModelSet) -> tuple[Promise, NetworkChanges]:
    """Tries interpolation-only networks, with and without inactive neighbours, on two samples.

    Returns the promise and the changes of all networks if both samples shrink by 5 %, else the promise and no changes.
    """
    found: tuple[Promise, NetworkChanges] = promise, {}
    if promise.mode.lattice is LatticeKind.MEAN or not _smooth(tree):
        return found  # presets of the mean lattice have no error that a field is likely to be smoother than
    for leaves in (FEW, MANY):
        modes = [replace(promise.mode, active_only=active_only) for active_only in (False, True)]
        tried = [(replace(promise, mode=mode), library, leaves) for mode in modes]
        suited = [_suited(tree, *place) for place in tried]
        best = min((0, 1), key=lambda i: suited[i][1])
        if suited[best][1] > _SURE * encoder.sample_size(tree, promise, library, leaves):
            return promise, {}
        found = tried[best][0], suited[best][0]
    return found


def _smooth(tree: Tree) -> bool:
    """Whether cubic interpolation is off by far less than half of what it goes through, in the median of a sample."""
    values, on = bricks_of(tree, chunks.sample_chunk(tree, MANY))
    errors, slopes = [], []
    for axis in (1, 2, 3):
        line, there = np.moveaxis(values, axis, 0), np.moveaxis(on, axis, 0)[:7].all(0)
        with np.errstate(invalid="ignore", over="ignore"):
            errors.append((line[3] - (9 * (line[2] + line[4]) - line[0] - line[6]) / 16)[there].reshape(-1))
            slopes.append((line[4] - line[2])[there].reshape(-1) / 2)
    error, slope = (np.abs(np.concatenate(parts)) for parts in (errors, slopes))
    known = np.isfinite(error) & np.isfinite(slope)
    return bool(known.any() and np.median(error[known]) < _SMOOTH * np.median(slope[known]))


class _Counts:
    """A buffer that counts the residuals of each scale class, batch by batch."""

    def __init__(self) -> None:
        self.batches = [np.zeros((SCALE_CLASSES, 2 * MOST + 1), np.int64)]

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Adds residuals (n,) int64 with their classes (n,) uint8."""
        columns = np.clip(residuals, -MOST, MOST) + MOST
        np.add.at(self.batches[-1], (scale_classes, columns), 1)

    def end(self) -> None:
        """Ends a batch."""
        self.batches.append(np.zeros_like(self.batches[-1]))


def _suited(tree: Tree, promise: Promise, models: ModelSet, leaves: int) -> tuple[NetworkChanges, float]:
    """The interpolation-only networks whose scales suit a sample of a tree, and the bytes it then takes.

    Scales do not change what is decoded: the number of a network only shifts classes.
    """
    coder = lattice_of(promise.mode.lattice)
    predictor = Predictor({key: interpolation_only(coder.inputs_of(key.phase)) for key in KEYS})
    lattice = coder(quantiser=promise.quantiser, predictor=predictor)
    chunk, counts = chunks.sample_chunk(tree, leaves), {key: 0 for key in KEYS}
    for component in range(by_component(tree.leaf).shape[2]):
        buffer = _Counts()
        lattice.encode(ChunkComponent.of(tree, chunk, component), [buffer] * LAYERS)
        for key, batch in zip(_BATCHES, buffer.batches[1:-1], strict=True):  # the first one is the coarsest points
            counts[key] = counts[key] + batch
    prices = costs(models.families[promise.mode.family].tables)
    moved = [np.maximum(np.arange(SCALE_CLASSES) - number, 0) for number in range(INTERPOLATION_ONLY)]
    bits = {key: [float((counts[key] * prices[to]).sum()) for to in moved] for key in KEYS}
    changes = {key: NetworkChange(int(np.argmin(bits[key])), {}, {}, {}) for key in KEYS}
    return changes, sum(map(min, bits.values())) / 8
