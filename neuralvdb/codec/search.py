"""What an encoder finds out by trying: the family of networks that suits a grid, the steps that reach a PSNR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.values import lossy
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.priors import Library
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree, unpack

_FEW, _MANY = 64, 256  # leaves that networks are tried on
_OTHERS = 1 / 0.9  # what bytes of other families than the one a grid's kind has count: a sample is not the grid
_CLOSE = 0.1  # dB above a PSNR asked for that end the search
_TRIES = 10

Coded = tuple[bytes, dict[int, bytes], Tree]  # what lossy.encode() gives


def networks_of(tree: Tree, promise: Promise, libraries: list[Library]) -> tuple[Promise, Library]:
    """The promise with the family, and the library, whose networks code a sample of the tree in the fewest bits;
    other families than the promise's own must be better by a tenth, and on a larger sample too."""
    families = [promise.family]  # there is one family of mean lattices
    if not promise.step:
        families += [family for family in priors.SAMPLE_FAMILIES if family != promise.family]
    tried = [(replace(promise, family=family), library) for library in libraries for family in families]
    if len(tried) == 1:
        return tried[0]

    def best(leaves: int) -> tuple[Promise, Library]:
        sizes = [lossy.sample_size(tree, *pair, leaves) for pair in tried]
        own = [pair[0].family == promise.family for pair in tried]
        return tried[int(np.argmin(sizes * np.where(own, 1.0, _OTHERS)))]

    found = best(_FEW)
    return found if found[0].family == promise.family else best(_MANY)


def to_psnr(tree: Tree, promise: Promise, options: dict[str, object]) -> tuple[Promise, Coded] | None:
    """The coarsest steps that were found to keep the PSNR promised, and what they give; None where none was.

    The PSNR is taken to fall with the logarithm of the step as between the last two tries (secant method). options: of
    lossy.encode().
    """
    best, tries, factor = None, [], 1.0
    for _ in range(_TRIES):
        tried = replace(promise, step=promise.step * factor, bound=promise.bound * factor)
        coded = lossy.encode(tree, tried, **options)
        tries.append((float(np.log(factor)), psnr(tree, coded[2]) - promise.psnr))
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


def psnr(original: Tree, decoded: Tree) -> float:
    """PSNR in dB over finite active leaf values, peak = their range; infinite where nothing differs."""
    on = unpack(original.leaf.active)
    x, y = (tree.leaf.values[on].astype(np.float64) for tree in (original, decoded))
    finite = np.isfinite(x)
    x, y = x[finite], y[finite]
    error = float(((x - y) ** 2).mean()) if len(x) else 0.0
    return float(20 * np.log10(np.ptp(x)) - 10 * np.log10(error)) if error else np.inf
