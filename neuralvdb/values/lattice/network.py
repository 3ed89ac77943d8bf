"""The predictor of a phase: a small integer network with a linear path beside it.

    h1  = clip((W1 x + b1) >> s1, 0, 255)             48 units
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)            32 units
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values, each with shifts of its own

x are the inputs of lattice.context (within +-127), weights lie within +-127, so no sum reaches 2**24 and float32
products are exact. out[0] is the offset added to base, in 1/256 of 2**exponent; out[1] is added to the scale's log2, in
1/16. This module is the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.values.lattice.context import Context

HIDDEN = (48, 32)
OUTPUTS = 2
OFFSET_BITS = 8
CLASSES = 64
_CLASS_OF_ONE_STEP = 16  # four classes to an octave
_MAX_OFFSET = 1 << 13


@dataclass
class Network:
    """Weights int8 and biases int32 of one phase; shifts: s1, s2, s3 (2), sl (2)."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    linear: np.ndarray
    shifts: np.ndarray


def forward(net: Network, inputs: np.ndarray) -> np.ndarray:
    """out (n, 2) int64 of inputs (n, i) int16."""
    s1, s2, s30, s31, sl0, sl1 = (int(s) for s in net.shifts)
    x = inputs.astype(np.float32)
    h1 = np.clip((x @ net.w1.T.astype(np.float32) + net.b1.astype(np.float32)).astype(np.int64) >> s1, 0, 255)
    h2 = h1.astype(np.float32) @ net.w2.T.astype(np.float32) + net.b2.astype(np.float32)
    h2 = np.clip(h2.astype(np.int64) >> s2, 0, 255)
    last = (h2.astype(np.float32) @ net.w3.T.astype(np.float32) + net.b3.astype(np.float32)).astype(np.int64)
    line = (x @ net.linear.T.astype(np.float32)).astype(np.int64)
    return (last >> np.array([s30, s31])) + (line >> np.array([sl0, sl1]))


def predict(net: Network, seen: Context) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (n,) int64 in lattice units, and scale classes (n,) uint8."""
    out = forward(net, seen.inputs)
    offset = np.clip(out[:, 0], -_MAX_OFFSET, _MAX_OFFSET)
    prediction = seen.base + ((offset << seen.exponent) >> OFFSET_BITS)
    classes = np.clip(((seen.scale + out[:, 1]) >> 2) + _CLASS_OF_ONE_STEP, 0, CLASSES - 1)
    return prediction, classes.astype(np.uint8)
