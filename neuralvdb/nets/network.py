"""The small integer network of both codecs: two hidden layers, with a linear path beside them. This is the definition.

    h1  = clip((W1 x + b1) >> s1, 0, 255)
    h2  = clip((W2 h1 + b2) >> s2, 0, 255)
    out = ((W3 h2 + b3) >> s3) + ((L x) >> sl)        2 values, each with shifts of its own

Inputs x and weights lie within +-127, biases within 2**23 (check()), so no sum reaches 2**24 and float32 products are
exact. What inputs are and what outputs mean is said in topology/network.py and values/lattice/network.py.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass

OUTPUTS = 2
_MAX_WEIGHT, _MAX_BIAS, _MAX_SHIFT = 127, 1 << 23, 24


@dataclass
class Network:
    """Weights and biases of i inputs, H1 and H2 hidden units.

    w1: (H1, i) int8; b1: (H1,) int32.
    w2: (H2, H1) int8; b2: (H2,) int32.
    w3: (2, H2) int8; b3: (2,) int32.
    linear: (2, i) int8, the linear path L.
    shifts: (6,) int8, s1, s2, s3 (2), sl (2).
    """

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    linear: np.ndarray
    shifts: np.ndarray

    @property
    def is_linear(self) -> bool:
        """Whether no output depends on the hidden layers."""
        return not self.w3.any()


def forward(net: Network, inputs: np.ndarray) -> np.ndarray:
    """out (M, 2) int64 of inputs (M, i) int16."""
    s1, s2, *last_shifts = (int(s) for s in net.shifts)
    x = inputs.astype(np.float32)
    h1 = np.clip(_product(x, net.w1, net.b1) >> s1, 0, 255)
    h2 = np.clip(_product(h1, net.w2, net.b2) >> s2, 0, 255)
    last, line = _product(h2, net.w3, net.b3), _product(x, net.linear, 0)
    return (last >> np.array(last_shifts[:2])) + (line >> np.array(last_shifts[2:]))


def check(net: Network) -> None:
    """Raises ValueError where numbers are so large that sums might not be exact."""
    weights, biases = (net.w1, net.w2, net.w3, net.linear), (net.b1, net.b2, net.b3)
    for arrays, limit in ((weights, _MAX_WEIGHT), (biases, _MAX_BIAS)):
        if any(np.abs(array.astype(np.int64)).max() > limit for array in arrays):
            raise ValueError("weights of a network are too large")
    if ((net.shifts < 0) | (net.shifts > _MAX_SHIFT)).any():
        raise ValueError("shifts of a network do not exist")


def _product(x: np.ndarray, weights: np.ndarray, bias: np.ndarray | int) -> np.ndarray:
    """W x + b, int64."""
    return (x.astype(np.float32) @ weights.T.astype(np.float32)).astype(np.int64) + bias
