"""The predictor of a pass: a small integer network with a linear path beside it.

    h1  = clip((W1 x + b1) >> s1, 0, 255)             48 units
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)            32 units
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values, each with shifts of its own

A network without hidden layers has zeros for all their numbers, so that out = (b3 >> s3) + ((L x) >> sl).

x are the inputs of inputs.py (within +-127), weights lie within +-127 and biases within 2**23 (check()), so no sum
reaches 2**24 and float32 products are exact. out[0] is the offset added to base, in 1/256 of 2**exponent; out[1] is
added to the scale's log2, in 1/16. The sums are those of nets.network; together they are the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.nets.network import Network, forward
from neuralvdb.values.lattice.constants import (
    CLASS_OF_ONE_STEP,
    HIDDEN,
    MAX_OFFSET,
    MAX_PREDICTION,
    OFFSET_BITS,
    OUTPUTS,
    SCALE_CLASSES,
)
from neuralvdb.values.lattice.inputs import PredictorInputs

_MAX_WEIGHT, _MAX_BIAS, _MAX_SHIFT = 127, 1 << 23, 24


@dataclass(frozen=True)
class Predictions:
    """Of n points. values: (n,) int32, in lattice units; scale_classes: (n,) uint8, how wide residuals will be."""

    values: np.ndarray
    scale_classes: np.ndarray


def linear(b3: np.ndarray, path: np.ndarray, shifts: np.ndarray) -> Network:
    """A network without hidden layers. b3: (2,) int32; path: (2, i) int8, the linear one; shifts: (6,) int8."""
    (first, second), inputs = HIDDEN, path.shape[1]
    w1, w2, w3 = (np.zeros(shape, np.int8) for shape in ((first, inputs), (second, first), (OUTPUTS, second)))
    b1, b2 = (np.zeros(size, np.int32) for size in HIDDEN)
    return Network(w1, b1, w2, b2, w3, b3, path, shifts)


def is_linear(net: Network) -> bool:
    """Whether no output depends on the hidden layers."""
    return not net.w3.any()


def check(net: Network) -> None:
    """Raises ValueError where numbers are so large that sums might not be exact."""
    weights, biases = (net.w1, net.w2, net.w3, net.linear), (net.b1, net.b2, net.b3)
    for arrays, limit in ((weights, _MAX_WEIGHT), (biases, _MAX_BIAS)):
        if any(np.abs(array.astype(np.int64)).max() > limit for array in arrays):
            raise ValueError("weights of a network are too large")
    if ((net.shifts < 0) | (net.shifts > _MAX_SHIFT)).any():
        raise ValueError("shifts of a network do not exist")


def predict(net: Network, inputs: PredictorInputs) -> Predictions:
    """Predictions for points with their inputs."""
    out = forward(net, inputs.inputs)
    offset = np.clip(out[:, 0], -MAX_OFFSET, MAX_OFFSET)
    prediction = inputs.base + ((offset << inputs.exponent) >> OFFSET_BITS)
    values = np.clip(prediction, -MAX_PREDICTION, MAX_PREDICTION).astype(np.int32)
    return Predictions(values, scale_class_of(inputs.scale + out[:, 1]).astype(np.uint8))


def scale_class_of(scale: np.ndarray) -> np.ndarray:
    """(n,) int64 scale classes of scales over the step, log2 in 1/16."""
    return np.clip((scale >> 2) + CLASS_OF_ONE_STEP, 0, SCALE_CLASSES - 1)
