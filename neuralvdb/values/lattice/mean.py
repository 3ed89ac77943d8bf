"""The mean lattice of one component of one domain: values to bytes with their means kept, and back.

The coarsest means come first, then floor after floor the differences of the two halves of each cell: the S+P
transform (Said and Pearlman 1996) with active voxels as weights and a neural predictor. Steps shrink by 2**0.6 from
floor to floor, a little faster than those of an orthonormal transform would. No error is promised here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.platform import return_memory
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.chunks import Chunk, Leaves, Quantiser
from neuralvdb.values.lattice.compand import compand, expand_whole
from neuralvdb.values.lattice.levels import POINTS, pieces
from neuralvdb.values.lattice.mean_inputs import in_phase, targets
from neuralvdb.values.lattice.mean_pyramid import (
    AXES,
    FLOORS,
    TOP,
    Cells,
    MeanLevel,
    TrueMeans,
    blank_means,
    pyramid,
    shares,
    split,
)
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lattice.schedule import mean_layer
from neuralvdb.volume import Tree

STEPS = (1024, 676, 446, 294, 194, 128, 84, 56, 37, 24, 16, 11)  # of the differences between halves on floors 0 to 11
ROOT_CLASS = 44

# (level, differences, share, row, place, floor, phase) -> predictions (n,) int32, classes (n,) uint8
Predict = Callable[..., tuple[np.ndarray, np.ndarray]]
# (predictions, classes, floor, row, place) -> differences (n,) int32
Differences = Callable[..., np.ndarray]


def floors_of(tree: Tree, part: Chunk, component: int, lattice: Quantiser) -> tuple[TrueMeans, list[MeanLevel]]:
    """The true means of every floor, and the floors as a decoder begins with them."""
    leaves = Leaves.of(tree, part, component)
    floors = pyramid(leaves, part, lattice)
    return TrueMeans(leaves, floors, lattice), floors


def blank(tree: Tree, part: Chunk, component: int, lattice: Quantiser) -> list[MeanLevel]:
    """The floors as a decoder begins with them."""
    return pyramid(Leaves.of(tree, part, component), part, lattice)


def encode(
    true: TrueMeans,
    floors: list[MeanLevel],
    lattice: Quantiser,
    predict: Predict,
    dead: np.ndarray,
    out: Sequence[SymbolBuffer],
    implementation: str = "native",
) -> Iterator[Cells]:
    """Appends one component to the records of its octaves and gives floor after floor as it decodes, down to floor 0.

    floors: as a decoder begins with them, forgotten one by one; dead: (64,) float64, by how much residuals of each
    class are rounded towards zero; implementation: of splitting.
    """
    top = floors[FLOORS]
    at = _root(top)
    whole = np.rint(compand(true.means(FLOORS, *at), lattice.knee) / STEPS[-1]).astype(np.int64)
    out[0].put(np.diff(whole, prepend=0), np.full(len(whole), ROOT_CLASS, np.uint8))
    out[0].end()

    def differences(predictions: np.ndarray, classes: np.ndarray, j: int, *at: np.ndarray) -> np.ndarray:
        found = np.empty_like(predictions)
        for some in pieces(len(found), POINTS):
            error = (true.gaps(j, *(a[some] for a in at)) - predictions[some]) / STEPS[j]
            q = np.sign(error) * np.floor(np.abs(error) + 0.5 - dead[classes[some]]).clip(0, residual.MAX_RESIDUAL)
            out[mean_layer(j)].put(q.astype(np.int64), classes[some])
            found[some] = _difference(predictions[some], q.astype(np.int64), j)
        out[mean_layer(j)].end()
        return found

    above = _top(top, at, whole, lattice)
    return _descend(floors, above, lattice, predict, differences, implementation)


def decode(
    floors: list[MeanLevel],
    lattice: Quantiser,
    predict: Predict,
    source: Callable[[int], Decoder],
    lod: int = 0,
    implementation: str = "native",
) -> Iterator[Cells]:
    """Takes one component from the decoders of its octaves and gives floor after floor, down to floor 3 lod.

    floors: forgotten one by one. Raises DamagedFile.
    """
    top = floors[FLOORS]
    at = _root(top)
    steps = residual.take(source(0), np.full(len(at[0]), ROOT_CLASS, np.uint8))
    whole = np.cumsum(steps, dtype=np.int64)

    def differences(predictions: np.ndarray, classes: np.ndarray, j: int, *_: np.ndarray) -> np.ndarray:
        found = residual.take(source(mean_layer(j)), classes)
        for some in pieces(len(found), POINTS):
            found[some] = _difference(predictions[some], found[some].astype(np.int64), j)
        return found

    above = _top(top, at, whole, lattice)
    return _descend(floors, above, lattice, predict, differences, implementation, 3 * lod)


def last(floors: Iterator[Cells]) -> Cells:
    """The last floor that comes."""
    (found,) = deque(floors, maxlen=1)
    return found


def _difference(predictions: np.ndarray, q: np.ndarray, j: int) -> np.ndarray:
    return np.clip(predictions + q * STEPS[j], -TOP, TOP)


def _descend(
    floors: list[MeanLevel],
    above: Cells,
    lattice: Quantiser,
    predict: Predict,
    differences: Differences,
    implementation: str,
    end: int = 0,
) -> Iterator[Cells]:
    yield above
    while len(floors) > end + 1:
        fine = floors[-2]
        gaps = _gaps(above, fine, lattice, predict, differences, len(floors) - 2, implementation)
        floors.pop()
        return_memory()
        means = split(above, fine, AXES[(len(floors) - 1) % 3], gaps, lattice, implementation)
        del gaps
        above = Cells(fine, means)
        yield above


def _gaps(
    above: Cells,
    fine: MeanLevel,
    lattice: Quantiser,
    predict: Predict,
    differences: Differences,
    j: int,
    implementation: str,
) -> np.ndarray:
    """(R, 512) int32: the differences of the halves of a floor's cells, both of which are coded."""
    share, both = shares(above.floor, fine, AXES[j % 3], implementation)
    level = above.level(lattice.knee, implementation)
    gaps = replace(level, values=np.zeros_like(level.values), active=both)
    for phase in (0, 1):
        at = targets(both[: above.floor.bricks], phase)
        if phase == 1:
            both[:, in_phase(1)] = 0  # what is left are those that are known
        predictions, classes = predict(level, gaps, share, *at, j, phase)
        found = differences(predictions, classes, j, *at)
        for some in pieces(len(found), POINTS):
            gaps.values[tuple(a[some] for a in at)] = found[some]
    return gaps.values


def _root(floor: MeanLevel) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero(floor.counts[: floor.bricks])


def _top(floor: MeanLevel, at: tuple[np.ndarray, np.ndarray], whole: np.ndarray, lattice: Quantiser) -> Cells:
    companded = np.clip(whole * STEPS[-1], 0 if lattice.positive else -TOP, TOP)
    means = blank_means(floor)
    means[at] = np.clip(expand_whole(companded, lattice.knee), -TOP, TOP)
    return Cells(floor, means)
