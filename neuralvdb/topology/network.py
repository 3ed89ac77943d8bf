"""What the networks of the topology (nets/network.py) tell of a cell, and the classes of bits.

Inputs are those of inputs.py (within +-16). out[0] says whether a cell holds a set bit, out[1], if so, whether all its
bits are set: as ln(p / (1 - p)), in 1/16. The class of a bit is that in quarters; its table has the probability.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.nets.network import Network, forward

LOGIT_CLASSES = 64
LOGIT_BITS = 4


def logit_classes(net: Network, inputs: np.ndarray) -> np.ndarray:
    """Classes (M, 2) uint8 of inputs (M, i) int16."""
    out = forward(net, inputs)
    return np.clip((out >> LOGIT_BITS - 2) + LOGIT_CLASSES // 2, 0, LOGIT_CLASSES - 1).astype(np.uint8)
