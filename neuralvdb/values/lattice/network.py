"""The predictor of a phase: a small integer network with a linear path beside it.

    h1  = clip((W1 x + b1) >> s1, 0, 255)             48 units
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)            32 units
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values, each with shifts of its own

x are the inputs of lattice.context (within +-127), weights lie within +-127 and biases within 2**23 (check()), so no
sum reaches 2**24 and float32 products are exact. out[0] is the offset added to base, in 1/256 of 2**exponent; out[1] is
added to the scale's log2, in 1/16. The sums are those of topology.network; together they are the definition.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.topology.network import Network, forward
from neuralvdb.values.lattice.context import Context

HIDDEN = (48, 32)
OUTPUTS = 2
OFFSET_BITS = 8
CLASSES = 64
_CLASS_OF_ONE_STEP = 16  # four classes to an octave
_MAX_OFFSET = 1 << 13
MAX_PREDICTION = 1 << 30
_MAX_WEIGHT, _MAX_BIAS, _MAX_SHIFT = 127, 1 << 23, 24


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
