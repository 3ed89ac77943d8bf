"""The small integer network with a linear path beside it that every predictor and classifier is."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.network.packed import Packed, Weights, moved, pack

__all__ = ["Packed", "Weights", "forward", "moved", "pack"]


def forward(inputs: torch.Tensor, network: Packed, *, implementation: str = "auto") -> torch.Tensor:
    """out (n, 2) int32 of inputs (n, C) int8, laid out in the network's C columns.

    Raises ValueError on other shapes or types.
    """
    checked("inputs", inputs, torch.int8, None, network.inputs)
    return select(__name__, "forward", implementation, inputs)(inputs, network)
