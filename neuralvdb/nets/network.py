"""The networks of the topology: two logits from what is around a cell.

    h1  = clip((W1 x + b1) >> s1, 0, 255)
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values in 1/16, each with shifts of its own

x are the inputs of context.py (within +-16), weights lie within +-127, so no sum reaches 2**24 and float32 products are
exact. out[0] says whether a cell holds a set bit, out[1], if so, whether all its bits are set: as ln(p / (1 - p)). The
class of a bit is that in quarters; its table has the probability. This module is the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OUTPUTS = 2
CLASSES = 64
LOGIT_BITS = 4


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
    """out (M, 2) int64 of inputs (M, i) int16."""
    s1, s2, *last_shifts = (int(s) for s in net.shifts)
    x = inputs.astype(np.float32)
    h1 = np.clip(_product(x, net.w1, net.b1) >> s1, 0, 255)
    h2 = np.clip(_product(h1, net.w2, net.b2) >> s2, 0, 255)
    last, line = _product(h2, net.w3, net.b3), _product(x, net.linear, 0)
    return (last >> np.array(last_shifts[:2])) + (line >> np.array(last_shifts[2:]))


def classes(net: Network, inputs: np.ndarray) -> np.ndarray:
    """Classes (M, 2) uint8 of inputs (M, i) int16."""
    out = forward(net, inputs)
    return np.clip((out >> LOGIT_BITS - 2) + CLASSES // 2, 0, CLASSES - 1).astype(np.uint8)


def _product(x: np.ndarray, weights: np.ndarray, bias: np.ndarray | int) -> np.ndarray:
    """W x + b, int64."""
    return (x.astype(np.float32) @ weights.T.astype(np.float32)).astype(np.int64) + bias
