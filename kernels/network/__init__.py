"""The small integer network with a linear path beside it that every predictor and classifier is."""

from __future__ import annotations

import torch

from neuralvdb.kernels.dispatch import checked, chosen
from neuralvdb.kernels.network.packed import INPUTS, Packed, pack

__all__ = ["INPUTS", "Packed", "forward", "pack"]


def forward(inputs: torch.Tensor, network: Packed, *, implementation: str = "auto") -> torch.Tensor:
    """out (n, 2) int32 of inputs (n, 128) int8, laid out as the network was packed.

    Raises ValueError on other shapes or types.
    """
    checked("inputs", inputs, torch.int8, None, INPUTS)
    return chosen(__name__, "forward", implementation, inputs)(inputs, network)
