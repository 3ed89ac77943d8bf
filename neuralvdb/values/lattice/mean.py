"""The mean lattice of one component of one domain: values to bytes with their means kept, and back.

The coarsest means come first, then floor after floor the differences of the two halves of each cell: the S+P
transform (Said and Pearlman 1996) with active voxels as weights and a neural predictor. Steps shrink by 2**0.6 from
floor to floor, a little faster than those of an orthonormal transform would. No error is promised here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.compand import by_rows, compand, compand_whole, expand_whole
from neuralvdb.values.lattice.domain import Domain, Lattice, exact_of, masks_of
from neuralvdb.values.lattice.levels import LIMIT, Level
from neuralvdb.values.lattice.mean_context import targets
from neuralvdb.values.lattice.means import AXES, FLOORS, TOP, Floor, halves, shares, split, tower, true_means
from neuralvdb.values.lattice.residual import Record
from neuralvdb.volume.grid import Tree

STEPS = (1024, 676, 446, 294, 194, 128, 84, 56, 37, 24, 16, 11)  # of the differences between halves on floors 0 to 11
ROOT_CLASS = 44

# (level, differences, share, row, place, floor, phase) -> predictions (n,) int64, classes (n,) uint8
Predict = Callable[..., tuple[np.ndarray, np.ndarray]]
# (predictions, classes, floor, row, place) -> residuals (n,) int64
Residuals = Callable[..., np.ndarray]


def floors_of(tree: Tree, part: Domain, component: int, lattice: Lattice) -> tuple[list[np.ndarray], list[Floor]]:
    """True means (R, 512) float32 of every floor, not companded, and the floors as a decoder begins with them."""
    floors = blank(tree, part, component, lattice)
    exact = exact_of(tree, part, component, Lattice(lattice.unit))
    exact = np.nan_to_num(exact, nan=0.0, posinf=LIMIT, neginf=-LIMIT).clip(-LIMIT, LIMIT)
    true = np.zeros(floors[0].counts.shape, np.float32)
    true[: len(exact)] = exact
    return true_means(floors, true), floors


def blank(tree: Tree, part: Domain, component: int, lattice: Lattice) -> list[Floor]:
    """The floors as a decoder begins with them: what is coded is 0."""
    active, coded = masks_of(tree, part)
    values = np.zeros(active.shape, np.int32)
    values[len(part.leaves) :] = Lattice(lattice.unit).nearest(part.constants[:, component, None])
    return tower(Level(part.low, part.table, values, active, coded, len(part.leaves)), lattice.knee)


def encode(
    exact: list[np.ndarray],
    floors: list[Floor],
    lattice: Lattice,
    predict: Predict,
    dead: np.ndarray,
    out: Sequence[Record],
    implementation: str = "native",
) -> None:
    """Appends one component to the records of its octaves and leaves its decoded means on floor 0.

    exact: means (R, 512) float32 of every floor; floors: as a decoder begins with them; dead: (64,) float64, by how
    much residuals of each class are rounded towards zero; implementation: of splitting.
    """
    at = _root(floors[FLOORS])
    whole = np.rint(compand(exact[FLOORS][at], lattice.knee) / STEPS[-1]).astype(np.int64)
    out[0].put(np.diff(whole, prepend=0), np.full(len(whole), ROOT_CLASS, np.uint8))
    _set_root(floors[FLOORS], at, whole, lattice)
    gaps: dict[int, np.ndarray] = {}

    def residuals(
        predictions: np.ndarray, classes: np.ndarray, j: int, row: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        if j not in gaps:
            gaps.clear()
            gaps[j] = true_gaps(exact[j], floors[j + 1], AXES[j % 3], lattice)
        error = (gaps[j][row, place] - predictions) / STEPS[j]
        q = np.sign(error) * np.floor(np.abs(error) + 0.5 - dead[classes]).clip(0, residual.MAX_RESIDUAL)
        out[octave(j)].put(q.astype(np.int64), classes)
        return q.astype(np.int64)

    _descend(floors, lattice, predict, residuals, implementation)


def decode(
    floors: list[Floor],
    lattice: Lattice,
    predict: Predict,
    source: Callable[[int], Decoder],
    lod: int = 0,
    implementation: str = "native",
) -> None:
    """Takes one component from the decoders of its octaves down to floor 3 lod, the opposite of encode().

    Raises DamagedFile.
    """
    at = _root(floors[FLOORS])
    steps = residual.take(source(0), np.full(len(at[0]), ROOT_CLASS, np.uint8))
    _set_root(floors[FLOORS], at, np.cumsum(steps), lattice)

    def residuals(_: np.ndarray, classes: np.ndarray, j: int, *__: np.ndarray) -> np.ndarray:
        return residual.take(source(octave(j)), classes)

    _descend(floors, lattice, predict, residuals, implementation, 3 * lod)


def octave(j: int) -> int:
    """The octave that codes the differences on floor j, from 0 for the coarsest."""
    return (FLOORS - 1 - j) // 3


def _descend(
    floors: list[Floor],
    lattice: Lattice,
    predict: Predict,
    residuals: Residuals,
    implementation: str,
    end: int = 0,
) -> None:
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
            gaps.values[at] = np.clip(found, -TOP, TOP)
            gaps.active[at] = 1
        split(coarse, floors[j], axis, gaps.values, lattice, implementation)


def true_gaps(fine: np.ndarray, coarse: Floor, axis: int, lattice: Lattice) -> np.ndarray:
    """(R, 512) float32: companded mean of the first half less that of the second; fine: true means (R', 512)."""
    companded = by_rows(lambda some: compand(some, lattice.knee), fine, fine.dtype)
    first, second = halves(companded, coarse.pairs, axis)
    return first - second


def _root(floor: Floor) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero(floor.level.coded[: floor.level.bricks])


def _set_root(floor: Floor, at: tuple[np.ndarray, np.ndarray], whole: np.ndarray, lattice: Lattice) -> None:
    companded = np.clip(whole * STEPS[-1], 0 if lattice.positive else -TOP, TOP)
    floor.means[at] = np.clip(expand_whole(companded, lattice.knee), -TOP, TOP)
    floor.level.values[at] = compand_whole(floor.means[at], lattice.knee)
