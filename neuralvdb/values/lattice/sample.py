"""The sample lattice of one component of one domain: values to bytes under a promised maximum error, and back.

The coarsest points come first, then level after level the points midway between known ones (context.py), each as
the difference to its prediction in steps. What later points see is what the decoder will have. Every level is an
octave, the two coarsest are one; each octave has a coder of its own, so that a decoder can stop before the finer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from neuralvdb.archive.rans import Decoder
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.chunks import Chunk, Leaves, Quantiser
from neuralvdb.values.lattice.levels import (
    EDGE,
    LEVELS,
    LIMIT,
    POINTS,
    ROWS,
    LatticeLevel,
    build,
    pieces,
    upsample_into,
    voxels,
)
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lattice.sample_inputs import targets
from neuralvdb.values.lattice.schedule import PASSES, sample_layer, sample_levels
from neuralvdb.values.lattice.steps import STEPS
from neuralvdb.volume.grid import Tree

ROOT_CLASS = 40  # 64 steps: nothing is known about the coarsest points but their neighbour in order


Exact = Callable[[int, np.ndarray, np.ndarray], np.ndarray]  # (level, rows, places) -> (n,) float64


def levels_of(tree: Tree, part: Chunk, component: int, lattice: Quantiser) -> tuple[Exact, list[LatticeLevel]]:
    """What gives the exact lattice values of points of a level, and the levels as a decoder begins with."""
    leaves, decoded = Leaves.of(tree, part, component), blank(tree, part, component, lattice)

    def exact(k: int, row: np.ndarray, place: np.ndarray) -> np.ndarray:
        at = (row, place) if k == 0 else voxels(decoded[k], k, decoded[0], row, place)
        return lattice.exact(leaves.points(*at))

    return exact, decoded


def blank(tree: Tree, part: Chunk, component: int, lattice: Quantiser) -> list[LatticeLevel]:
    """The levels as a decoder begins with: what is coded is 0."""
    leaves = Leaves.of(tree, part, component)
    count = len(leaves)
    values = np.empty((count + len(leaves.constants), EDGE**3), np.int32)
    active = np.empty(values.shape, np.uint8)
    for some in pieces(count, ROWS):
        active[some] = on = leaves.on(some)
        values[some] = np.where(on, 0, lattice.nearest(leaves.rows(some)))
    values[count:] = lattice.nearest(leaves.constants)[:, None]
    active[count:] = leaves.constants_active[:, None]
    return build(LatticeLevel(part.low, part.table, values, active, active[:count]))


def encode(exact: Exact, decoded: list[LatticeLevel], predictor: Predictor, out: Sequence[SymbolBuffer]) -> None:
    """Appends one component to the records of its octaves and leaves its decoded values in decoded[0].

    decoded: the levels, as the decoder will begin with them: values known only of points that are not coded.
    """
    top = LEVELS - 1
    at = _root(decoded[top])
    whole = np.rint(_finite(exact(top, *at)) / STEPS[top]).astype(np.int64)
    out[0].put(np.diff(whole, prepend=0), np.full(len(whole), ROOT_CLASS, np.uint8))
    out[0].end()
    decoded[top].values[at] = whole * STEPS[top]
    for k, axis, phase in _order(decoded):
        row, place = targets(decoded[k], axis, phase)
        predictions, classes = predictor(decoded[k], row, place, k, axis, phase)
        for some in pieces(len(row), POINTS):
            error = (_finite(exact(k, row[some], place[some])) - predictions[some]) / STEPS[k]
            q = np.clip(np.rint(error), -residual.MAX_RESIDUAL, residual.MAX_RESIDUAL).astype(np.int64)
            out[sample_layer(k)].put(q, classes[some])
            decoded[k].values[row[some], place[some]] = _clamped(predictions[some] + q * STEPS[k])
        out[sample_layer(k)].end()


def decode(decoded: list[LatticeLevel], predictor: Predictor, source: Callable[[int], Decoder], lod: int = 0) -> None:
    """Takes one component from the decoders of its octaves into decoded[lod], the opposite of encode().

    Raises DamagedFile.
    """
    top = LEVELS - 1
    at = _root(decoded[top])
    steps = residual.take(source(0), np.full(len(at[0]), ROOT_CLASS, np.uint8))
    decoded[top].values[at] = _clamped(np.cumsum(steps, dtype=np.int64) * STEPS[top])
    for k, axis, phase in _order(decoded, lod):
        row, place = targets(decoded[k], axis, phase)
        predictions, classes = predictor(decoded[k], row, place, k, axis, phase)
        q = residual.take(source(sample_layer(k)), classes)
        for some in pieces(len(row), POINTS):
            found = predictions[some] + q[some].astype(np.int64) * STEPS[k]
            decoded[k].values[row[some], place[some]] = _clamped(found)


def _order(decoded: list[LatticeLevel], lod: int = 0) -> Iterator[tuple[int, int, int]]:
    """(level, axis, phase) of every phase, coarse to fine; brings known points down to each level first."""
    for k in sample_levels(lod):
        upsample_into(decoded[k + 1], decoded[k])
        for axis, phase in PASSES:
            yield k, axis, phase


def _root(level: LatticeLevel) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero(level.coded)


def _finite(values: np.ndarray) -> np.ndarray:
    """Values that the lattice can hold; what it cannot is an exception, stored apart."""
    return np.clip(np.nan_to_num(values, nan=0.0), -LIMIT, LIMIT)


def _clamped(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -2 * LIMIT, 2 * LIMIT).astype(np.int32)
