"""Every pass of a chunk by kernels and by their references on the same input, for gpu.py: which of them differs, and
where.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from gpu_copies import STEPS
from gpu_report import same

from neuralvdb.kernels.bricks import Bricks, Destination, Predictions
from neuralvdb.kernels.predict import StencilNetwork, predict
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import Segments, decode
from neuralvdb.kernels.reconstruct import reconstruct

if TYPE_CHECKING:
    from gpu import Copies

REPEATS = 50  # of a prediction: a race would show


def checked_passes(bricks: Copies) -> Iterator[str]:
    """Decodes by kernels, each step beside its reference; a line for each level. Raises Different."""
    streams = bricks.streams()
    compared = 0

    def code(k: int, predictions: Predictions, destination: Destination) -> None:
        nonlocal compared
        what = f"level {k}, pass {compared % 6}"
        segments, bits = streams[max(3 - k, 0)]
        classes, starts = predictions.scale_classes, destination.targets.starts
        moved = _copy(segments)
        symbols = decode(bricks.slots, classes, starts, segments)
        same(f"rans, {what}", decode(bricks.slots, classes, starts, moved, implementation="reference"), symbols)
        same(f"rans, states, {what}", moved.states, segments.states)
        other = replace(destination, values=destination.values.clone())
        bits_copy = replace(bits, at=bits.at.clone(), end=bits.end.clone())
        reconstruct(symbols, predictions, other, STEPS[k], bits_copy, implementation="reference")
        exact = bricks.tiled(f"{k}.exact")
        residuals = [
            quantise(exact, predictions, replace(destination, values=destination.values.clone()), STEPS[k],
                     implementation=name) for name in ("reference", "triton")
        ]  # fmt: skip
        same(f"quantise, {what}", *residuals)
        reconstruct(symbols, predictions, destination, STEPS[k], bits)
        same(f"reconstruct, {what}", other.values, destination.values)
        same(f"reconstruct, places of bits, {what}", bits_copy.at, bits.at)
        compared += 1

    values = bricks.values_from(bricks.top(streams))
    bricks.descend(values, code, _Beside())
    yield f"rans, quantise, reconstruct and predict: {compared} passes as their references make them"


class _Beside:
    """Predicts by the kernel, and compares with the reference and with the kernel's other runs."""

    def __call__(self, level: Bricks, points: torch.Tensor, predictor: StencilNetwork, step: int) -> Predictions:
        made = predict(level, points, predictor, step)
        expected = predict(level, points, predictor, step, implementation="reference")
        what = f"predict, axis {predictor.stencil.axis}, phase {predictor.stencil.phase}, step {step}"
        same(f"{what}, values", expected.values, made.values)
        same(f"{what}, classes", expected.scale_classes, made.scale_classes)
        for number in range(REPEATS if len(points) and points.is_cuda else 0):
            again = predict(level, points, predictor, step)
            same(f"{what}, run {number}, values", made.values, again.values)
            same(f"{what}, run {number}, classes", made.scale_classes, again.scale_classes)
        return made


def _copy(segments: Segments) -> Segments:
    return replace(segments, states=segments.states.clone(), at=segments.at.clone(), taken=segments.taken.clone())
