"""Where the weights of a network lie in its row of floats: `layers` gives views of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn.functional import pad

INPUTS, FIRST, SECOND, OUTPUTS = 128, 48, 32, 2  # the most inputs; hidden values; outputs
SIZE = 8192  # floats of a row
_REST = FIRST * SECOND + SECOND * OUTPUTS + FIRST + SECOND + OUTPUTS + 1


@dataclass(frozen=True)
class Layers:
    """Of i inputs: w1 (48, i), linear (2, i), w2 (32, 48), w3 (2, 32), b1 (48,), b2 (32,), b3 (2,), tail (1,), in this
    order in a row."""

    w1: torch.Tensor
    linear: torch.Tensor
    w2: torch.Tensor
    w3: torch.Tensor
    b1: torch.Tensor
    b2: torch.Tensor
    b3: torch.Tensor
    tail: torch.Tensor

    def all(self) -> list[torch.Tensor]:
        """In this order."""
        return [getattr(self, field.name) for field in fields(self)]


def count(inputs: int) -> int:
    """Weights of a network; the rest of its row is 0. Raises ValueError where it does not fit."""
    if not 0 < inputs <= INPUTS:
        raise ValueError(f"a network of {inputs} inputs does not fit; 1 to {INPUTS} do")
    return (FIRST + OUTPUTS) * inputs + _REST


def layers(flat: torch.Tensor, inputs: int) -> Layers:
    """Views of a network's row of floats, `flat` (8192,), or of what lies as one does."""
    shapes = ((FIRST, inputs), (OUTPUTS, inputs), (SECOND, FIRST), (OUTPUTS, SECOND), (FIRST,), (SECOND,), (OUTPUTS,))
    sizes = [torch.Size(shape).numel() for shape in shapes]
    arrays = flat[: count(inputs)].split([*sizes, 1])
    return Layers(*(array.view(shape) for array, shape in zip(arrays, (*shapes, (1,)), strict=True)))


def flatten(net: Layers) -> torch.Tensor:
    """The row (8192,) of a network."""
    flat = torch.cat([array.flatten() for array in net.all()])
    return pad(flat, (0, SIZE - len(flat)))
