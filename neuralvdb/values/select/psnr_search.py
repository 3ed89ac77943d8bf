"""The coarsest step that reaches a PSNR, found by encoding the grid again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import psnr
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.context import EncodeContext
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.volume.grid import Tree

_CLOSE = 0.1  # dB above the PSNR asked for that end the search
_TRIES = 10
_SLOPE = -20 / np.log(10)  # dB per unit of the step's logarithm where errors are spread evenly
_LARGEST_MOVE = 3.0  # of the logarithm, from one try to the next


@dataclass(frozen=True)
class Reached:
    """What a search has found: the candidate with its step, and what it encodes to."""

    candidate: Candidate
    coded: CodedValues


@dataclass(frozen=True)
class _Try:
    """A logarithm of the factor on the step, and by how many dB the PSNR was more than asked for."""

    log_factor: float
    excess: float


def reach_psnr(tree: Tree, candidate: Candidate, context: EncodeContext) -> Reached | None:
    """The candidate with the coarsest step tried that keeps the PSNR promised; None where no try did.

    The PSNR is taken to fall with the logarithm of the step as between the last two tries (secant method).
    """
    best: Reached | None = None
    best_factor, log_factor, tries = 0.0, 0.0, list[_Try]()
    for _ in range(_TRIES):
        factor = float(np.exp(log_factor))
        scaled = replace(candidate, promise=_scaled(candidate.promise, factor))
        coded = encoder.encode(tree, scaled.promise, scaled.options(tree, context))
        tries.append(_Try(float(np.log(factor)), psnr(tree, coded.tree) - candidate.promise.bound.psnr))
        if tries[-1].excess >= 0 and factor > best_factor:
            best, best_factor = Reached(scaled, coded), factor
        if 0 <= tries[-1].excess <= _CLOSE:
            break
        log_factor = _next(tries)
    return best


def _scaled(promise: Promise, factor: float) -> Promise:
    """The promise with its step, or its maximum error, times a factor."""
    bound = replace(promise.bound, max_error=promise.bound.max_error * factor)
    return Promise(bound, replace(promise.mode, step=promise.mode.step * factor))


def _next(tries: list[_Try]) -> float:
    """The logarithm of the factor to try next."""
    last = tries[-1]
    if not np.isfinite(last.excess):
        return last.log_factor + _LARGEST_MOVE
    slope = _SLOPE
    if len(tries) > 1 and tries[-2].log_factor != last.log_factor and np.isfinite(tries[-2].excess):
        slope = min((last.excess - tries[-2].excess) / (last.log_factor - tries[-2].log_factor), slope / 4)
    move = float(np.clip((_CLOSE / 2 - last.excess) / slope, -_LARGEST_MOVE, _LARGEST_MOVE))
    return last.log_factor + move
