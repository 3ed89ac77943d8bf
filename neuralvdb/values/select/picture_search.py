"""The coarsest step whose picture is good enough, guessed by stand-ins, so that most grids are encoded once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.picture import estimated_t_psnr, ray_sums
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.stand_in import leaves_that_stand, stand_in
from neuralvdb.volume.grid import Tree

TRIES = 8  # encodings, each with a finer step
_COARSEST = 0.35  # logarithm of how much coarser than that of the preset a step may be, if the picture allows it
_SLOPE = 7.6  # dB of T-PSNR per unit of the step's logarithm, as measured,
_FLATTEST, _STEEPEST = 6.0, 9.0  # and what it may be between two stand-ins
_MARGIN = 0.4  # dB by which a stand-in is to be better than promised: as a rule it is better than what it stands for,
_MARGIN_OF_SOME = 0.15  # less so if it codes some leaves, without those around them
_FAR = 3.0  # dB from there that are worth another stand-in
_FINER = 0.3  # dB more than what an encoding lacks
_MOST_LACKING = 20.0  # dB that are made up for at once


def keeps_picture(coded: CodedValues, promise: Promise) -> bool:
    """Whether the picture is as good as promised, if anything is."""
    return not promise.bound.picture or shortfall(coded.picture, promise) <= 0


def shortfall(t_psnr: float | None, promise: Promise) -> float:
    """dB that a picture lacks; infinite where there is nothing to see."""
    return np.inf if t_psnr is None else promise.bound.picture - t_psnr


def guess_step(
    tree: Tree, candidate: Candidate, devices: tuple[str, ...] = (), *, threads: int = 1
) -> Candidate | None:
    """The candidate with the step that a picture as promised seems to need; None where there is nothing to see.

    candidate: with sums of the tree. devices, threads: that stand-ins are encoded on.
    The first stand-in has the step of the preset, a second one that which the first suggests, if that is far away.
    """
    promise, original = candidate.promise, candidate.sums
    assert original is not None
    standing = leaves_that_stand(tree, original)
    margin = _MARGIN if len(standing.leaves) == len(tree.leaf) else _MARGIN_OF_SOME

    def surplus(log_factor: float) -> float | None:
        instead = stand_in(tree, scaled(promise, log_factor), standing.leaves, devices, threads=threads)
        sums = ray_sums(tree, instead, threads=threads)
        t_psnr = estimated_t_psnr(original, sums, standing.tiles)
        return None if t_psnr is None else t_psnr - promise.bound.picture - margin

    first = surplus(0.0)
    if first is None:
        return None
    log_factor = min(first / _SLOPE, _COARSEST)
    if abs(first) > _FAR and first / _STEEPEST < _COARSEST:
        second = surplus(log_factor)
        assert second is not None  # the original is the same
        slope = float(np.clip((first - second) / log_factor, _FLATTEST, _STEEPEST))
        log_factor = min(log_factor + second / slope, _COARSEST)
    return replace(candidate, promise=scaled(promise, log_factor))


def finer(candidate: Candidate, lacking: float) -> Candidate:
    """The candidate with a step for a picture that is better by what the last one lacked, and a little more."""
    return replace(candidate, promise=scaled(candidate.promise, -(min(lacking, _MOST_LACKING) + _FINER) / _SLOPE))


def without_picture(candidate: Candidate) -> Candidate:
    """The candidate that promises none."""
    promise = candidate.promise
    return replace(candidate, promise=replace(promise, bound=replace(promise.bound, picture=0.0)))


def scaled(promise: Promise, log_factor: float) -> Promise:
    """The promise with its step times exp(log_factor), rounded so that it is the same on every machine."""
    step = float(np.float32(promise.mode.step * np.exp(log_factor))) if log_factor else promise.mode.step
    return replace(promise, mode=replace(promise.mode, step=step))
