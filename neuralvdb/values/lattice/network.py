"""The predictor of a phase: a small integer network with a linear path beside it.

    h1  = clip((W1 x + b1) >> s1, 0, 255)             48 units
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)            32 units
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values, each with shifts of its own

A network without hidden layers has zeros for all their numbers, so that out = (b3 >> s3) + ((L x) >> sl).

x are the inputs of lattice.context (within +-127), weights lie within +-127 and biases within 2**23 (check()), so no
sum reaches 2**24 and float32 products are exact. out[0] is the offset added to base, in 1/256 of 2**exponent; out[1] is
added to the scale's log2, in 1/16. The sums are those of topology.network; together they are the definition.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.nets.network import Network, forward
from neuralvdb.values.lattice.sample_inputs import Context

HIDDEN = (48, 32)
OUTPUTS = 2
OFFSET_BITS = 8
CLASSES = 64
_CLASS_OF_ONE_STEP = 16  # four classes to an octave
_MAX_OFFSET = 1 << 13
MAX_PREDICTION = 1 << 30
_MAX_WEIGHT, _MAX_BIAS, _MAX_SHIFT = 127, 1 << 23, 24


def linear(b3: np.ndarray, path: np.ndarray, shifts: np.ndarray) -> Network:
    """A network without hidden layers. b3: (2,) int32; path: (2, i) int8, the linear one; shifts: (6,) int8."""
    (first, second), inputs = HIDDEN, path.shape[1]
    weights = [np.zeros(shape, np.int8) for shape in ((first, inputs), (second, first), (OUTPUTS, second))]
    biases = [np.zeros(size, np.int32) for size in HIDDEN]
    return Network(weights[0], biases[0], weights[1], biases[1], weights[2], b3, path, shifts)


def is_linear(net: Network) -> bool:
    """Whether nothing of what it gives comes by way of its hidden layers."""
    return not net.w3.any()


def check(net: Network) -> None:
    """Raises ValueError where numbers are such that sums might not be exact."""
    weights, biases = (net.w1, net.w2, net.w3, net.linear), (net.b1, net.b2, net.b3)
    for arrays, limit in ((weights, _MAX_WEIGHT), (biases, _MAX_BIAS)):
        if any(np.abs(array.astype(np.int64)).max() > limit for array in arrays):
            raise ValueError("weights of a network are too large")
    if ((net.shifts < 0) | (net.shifts > _MAX_SHIFT)).any():
        raise ValueError("shifts of a network do not exist")


def predict(net: Network, seen: Context) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (n,) int32 in lattice units, and scale classes (n,) uint8."""
    out = forward(net, seen.inputs)
    offset = np.clip(out[:, 0], -_MAX_OFFSET, _MAX_OFFSET)
    prediction = seen.base + ((offset << seen.exponent) >> OFFSET_BITS)
    classes = class_of(seen.scale + out[:, 1]).astype(np.uint8)
    return np.clip(prediction, -MAX_PREDICTION, MAX_PREDICTION).astype(np.int32), classes


def class_of(scale: np.ndarray) -> np.ndarray:
    """(n,) int64 classes of scales over the step, log2 in 1/16."""
    return np.clip((scale >> 2) + _CLASS_OF_ONE_STEP, 0, CLASSES - 1)
