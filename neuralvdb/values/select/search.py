"""What an encoder finds out by trying: the family of networks that suits a grid, the steps that reach a PSNR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neuralvdb.metrics import psnr
from neuralvdb.values import encoder
from neuralvdb.values.lattice import chunks
from neuralvdb.values.lattice.chunks import Chunk
from neuralvdb.values.lattice.constants import EDGE
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES, LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree, leaf_origins, unpack

FEW, MANY = 64, 256  # leaves that networks are tried on
_OTHERS = 1 / 0.9  # what bytes of other families than the one a grid's kind has count: a sample is not the grid
_CLOSE = 0.1  # dB above a PSNR asked for that end the search
_TRIES = 10
_ABRUPT = 8  # times as much as between neighbours, in the mean, that values change where a grid's active ones end

Coded = tuple[bytes, dict[int, bytes], Tree]  # what encoder.encode() gives


def networks_of(tree: Tree, promise: Promise, libraries: list[ModelSet]) -> tuple[Promise, ModelSet]:
    """The promise with the family, and the library, whose networks code a sample of the tree in the fewest bits;
    other families than the promise's own must be better by a tenth, and on a larger sample too. Where the active values
    end abruptly, it is tried whether to look at them only."""
    sampled = promise.mode.lattice is LatticeKind.SAMPLE
    families = [promise.mode.family]  # there is one family of mean lattices
    if sampled:
        families += [family for family in SAMPLE_FAMILIES if family != promise.mode.family]
    looks = [False, True] if sampled and _abrupt(tree) else [False]
    modes = [replace(promise.mode, family=family, active_only=look) for family in families for look in looks]
    tried = [(replace(promise, mode=mode), library) for library in libraries for mode in modes]
    if len(tried) == 1:
        return tried[0]

    def best(leaves: int) -> tuple[Promise, ModelSet]:
        sizes = [encoder.sample_size(tree, *pair, leaves) for pair in tried]
        own = [pair[0].mode.family == promise.mode.family for pair in tried]
        return tried[int(np.argmin(sizes * np.where(own, 1.0, _OTHERS)))]

    found = best(FEW)
    return found if found[0].mode.family == promise.mode.family else best(MANY)


def _abrupt(tree: Tree) -> bool:
    """Whether values change far more from active to inactive voxels than between active ones; where these are all the
    same, any change is more."""
    sums, counts = np.zeros(2), np.zeros(2)
    for first, second, on, too in _pairs(tree):
        with np.errstate(invalid="ignore"):
            change = np.abs(second - first).sum(-1)
        for i, pairs in enumerate((on & too, on ^ too)):
            found = change[pairs & np.isfinite(change)]
            sums[i], counts[i] = sums[i] + found.sum(), counts[i] + len(found)
    between, end = sums / np.maximum(counts, 1)
    return bool(end > _ABRUPT * between)


def _pairs(tree: Tree) -> Iterator[tuple[np.ndarray, ...]]:
    """Neighbours along each axis on a sample: values (..., C) float64 of both, and whether they are active."""
    part = chunks.sample_chunk(tree, MANY)
    count, others = len(part.leaves), len(part.constants)
    leaves, active = bricks_of(tree, part)
    values = np.concatenate([leaves, np.broadcast_to(part.constants[:, None, None, None], (others, *leaves.shape[1:]))])
    constants_active = np.broadcast_to(part.constants_active[:, None, None, None], (others, *active.shape[1:]))
    on = np.concatenate([active, constants_active])
    cells = leaf_origins(tree)[part.leaves] // EDGE - part.low
    for axis in range(3):
        step = np.arange(3) == axis
        low, high = ((np.s_[:count], *[np.s_[:]] * axis, side) for side in (np.s_[:-1], np.s_[1:]))
        yield values[low], values[high], on[low], on[high]
        for own, other, to in ((7, 0, cells + step), (0, 7, cells - step)):
            there = (to >= 0).all(1) & (to < part.table.shape).all(1)
            row = part.table[tuple(to[there].T)]
            mine, theirs = (
                np.take(x, side, 1 + axis) for x, side in ((values[:count][there], own), (values[row], other))
            )
            active = (np.take(x, side, 1 + axis) for x, side in ((on[:count][there], own), (on[row], other)))
            yield mine, theirs, *active


def bricks_of(tree: Tree, part: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """Values (B, 8, 8, 8, C) float64 of the leaves of a domain, and whether they are active (B, 8, 8, 8) bool."""
    values = by_component(tree.leaf)[part.leaves].astype(np.float64)
    shape = (-1, EDGE, EDGE, EDGE)
    return values.reshape(*shape, values.shape[-1]), unpack(tree.leaf.active[part.leaves]).reshape(shape)


def to_psnr(tree: Tree, promise: Promise, options: dict[str, object]) -> tuple[Promise, Coded] | None:
    """The coarsest steps that were found to keep the PSNR promised, and what they give; None where none was.

    The PSNR is taken to fall with the logarithm of the step as between the last two tries (secant method). options: of
    encoder.encode().
    """
    best, tries, factor = None, [], 1.0
    for _ in range(_TRIES):
        bound = replace(promise.bound, max_error=promise.bound.max_error * factor)
        tried = Promise(bound, replace(promise.mode, step=promise.mode.step * factor))
        coded = encoder.encode(tree, tried, **options)
        tries.append((float(np.log(factor)), psnr(tree, coded[2]) - promise.bound.psnr))
        if tries[-1][1] >= 0 and (best is None or factor > best[0]):
            best = factor, (tried, coded)
        if 0 <= tries[-1][1] <= _CLOSE:
            break
        factor = float(np.exp(_next(tries)))
    return best and best[1]


def _next(tries: list[tuple[float, float]]) -> float:
    """The logarithm of a step to try next; tries: logarithms, and dB more than wanted that they gave."""
    at, excess = tries[-1]
    if not np.isfinite(excess):
        return at + 3.0
    slope = -20 / np.log(10)
    if len(tries) > 1 and tries[-2][0] != at and np.isfinite(tries[-2][1]):
        slope = min((excess - tries[-2][1]) / (at - tries[-2][0]), slope / 4)
    return at + float(np.clip((_CLOSE / 2 - excess) / slope, -3, 3))
