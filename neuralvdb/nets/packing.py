"""Networks as the compiled modules take them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from neuralvdb.nets.network import Network

# w1, b1, w2, b2, w3, b3 and the linear path, contiguous; then the shifts
NativeNetwork: TypeAlias = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[int]
]


def pack_for_native(net: Network, dtype: type[np.generic] | None = None) -> NativeNetwork:
    """The network for C++, its arrays as `dtype`, by default as they are: int8 weights and int32 biases."""

    def array(weights: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(weights, dtype)

    w1, w2, w3, linear = array(net.w1), array(net.w2), array(net.w3), array(net.linear)
    return w1, array(net.b1), w2, array(net.b2), w3, array(net.b3), linear, [int(shift) for shift in net.shifts]
