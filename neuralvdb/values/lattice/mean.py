"""The mean lattice of one component of one domain: values to bytes with their means kept, and back.

The coarsest means come first, then floor after floor the differences of the two halves of each cell: the S+P
transform (Said and Pearlman 1996) with active voxels as weights and a neural predictor. Steps shrink by the square root
of two from floor to floor, as those of an orthonormal transform would. No error is promised here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.domain import Domain, Lattice, exact_of, rows_of
from neuralvdb.values.lattice.levels import LIMIT, Level
from neuralvdb.values.lattice.mean_context import targets
from neuralvdb.values.lattice.means import AXES, FLOORS, Floor, exact_means, halves, shares, split, tower
from neuralvdb.values.lattice.residual import Record
from neuralvdb.volume.grid import Tree

STEPS = (1024, 676, 446, 294, 194, 128, 84, 56, 37, 24, 16, 11)  # of the differences between halves on floors 0 to 11
DEAD = 0.1  # an encoder rounds towards zero by this much
_ROOT_CLASS = 44

# (level, differences, share, row, place, floor, phase) -> predictions (n,) int64, classes (n,) uint8
Predict = Callable[..., tuple[np.ndarray, np.ndarray]]
# (predictions, classes, floor, row, place) -> residuals (n,) int64
Residuals = Callable[..., np.ndarray]


def floors_of(tree: Tree, part: Domain, component: int, lattice: Lattice) -> tuple[list[np.ndarray], list[Floor]]:
    """Exact means (R, 512) float64 of every floor, and the floors as a decoder begins with them."""
    values, active, coded = rows_of(tree, part, component, lattice)
    floors = tower(Level(part.low, part.table, values, active, coded, len(part.leaves)))
    exact = np.nan_to_num(exact_of(tree, part, component, lattice), nan=0.0, posinf=LIMIT, neginf=-LIMIT)
    return exact_means(floors, np.concatenate([exact, np.zeros((len(values) - len(exact), 512))])), floors


def encode(
    exact: list[np.ndarray],
    floors: list[Floor],
    predict: Predict,
    out: Sequence[Record],
    implementation: str = "native",
) -> None:
    """Appends one component to the records of its octaves and leaves its decoded values on floor 0.

    exact: means (R, 512) float64 of every floor; floors: as a decoder begins with them; implementation: of splitting.
    """
    at = _root(floors[FLOORS])
    whole = np.rint(_finite(exact[FLOORS][at]) / STEPS[-1]).astype(np.int64)
    out[0].put(np.diff(whole, prepend=0), np.full(len(whole), _ROOT_CLASS, np.uint8))
    floors[FLOORS].level.values[at] = whole * STEPS[-1]
    gaps: dict[int, np.ndarray] = {}

    def residuals(
        predictions: np.ndarray, classes: np.ndarray, j: int, row: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        if j not in gaps:
            gaps[j] = _gaps(exact[j], floors[j + 1], AXES[j % 3])
        error = (_finite(gaps[j][row, place]) - predictions) / STEPS[j]
        q = np.sign(error) * np.floor(np.abs(error) + 0.5 - DEAD).clip(0, residual.MAX_RESIDUAL)
        out[octave(j)].put(q.astype(np.int64), classes)
        return q.astype(np.int64)

    _descend(floors, predict, residuals, implementation)


def decode(
    floors: list[Floor],
    predict: Predict,
    source: Callable[[int], Decoder],
    lod: int = 0,
    implementation: str = "native",
) -> None:
    """Takes one component from the decoders of its octaves down to floor 3 lod, the opposite of encode().

    Raises DamagedFile.
    """
    at = _root(floors[FLOORS])
    steps = residual.take(source(0), np.full(len(at[0]), _ROOT_CLASS, np.uint8))
    floors[FLOORS].level.values[at] = np.clip(np.cumsum(steps) * STEPS[-1], -2 * LIMIT, 2 * LIMIT)

    def residuals(_: np.ndarray, classes: np.ndarray, j: int, *__: np.ndarray) -> np.ndarray:
        return residual.take(source(octave(j)), classes)

    _descend(floors, predict, residuals, implementation, 3 * lod)


def octave(j: int) -> int:
    """The octave that codes the differences on floor j, from 0 for the coarsest."""
    return (FLOORS - 1 - j) // 3


def _descend(floors: list[Floor], predict: Predict, residuals: Residuals, implementation: str, end: int = 0) -> None:
    for j in reversed(range(end, FLOORS)):
        coarse, axis = floors[j + 1], AXES[j % 3]
        share, both = shares(coarse, floors[j], axis, implementation)
        level = coarse.level
        gaps = Level(
            level.low, level.table, np.zeros_like(level.values), np.zeros_like(level.active), level.coded, level.bricks
        )
        for phase in (0, 1):
            at = targets(level, both, phase)
            predictions, classes = predict(level, gaps, share, *at, j, phase)
            found = predictions + residuals(predictions, classes, j, *at) * STEPS[j]
            gaps.values[at] = np.clip(found, -2 * LIMIT, 2 * LIMIT)
            gaps.active[at] = 1
        split(coarse, floors[j], axis, gaps.values, implementation)


def _gaps(fine: np.ndarray, coarse: Floor, axis: int) -> np.ndarray:
    """(R, 512) float64: mean of the first half less that of the second."""
    first, second = halves(fine, coarse.pairs, axis)
    return first - second


def _root(floor: Floor) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero(floor.level.coded[: floor.level.bricks])


def _finite(values: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(values, nan=0.0), -LIMIT, LIMIT)
