"""The predictor of a pass: a network of nets/network.py with 48 and 32 hidden units, and what its outputs mean.

Inputs are those of inputs.py. out[0] is the offset added to the base, in 1/256 of 2**exponent; out[1] is added to the
scale's log2, in 1/16. A network without hidden layers has zeros for all their numbers, so that
out = (b3 >> s3) + ((L x) >> sl).
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
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
