"""Weights of a network laid out for the tensor cores; see README.md for why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

INPUTS, FIRST, SECOND, OUTPUTS = 128, 64, 32, 2  # padded sizes
LINES = 16  # rows of the linear path, the last ones of w1: as few as a product of tensor cores has


@dataclass(frozen=True)
class Packed:
    """w1: (80, 128) int8, rows 64 and 65 are the linear path and those behind 0; b1: (64,) int32; w2: (32, 64) int8;
    b2: (32,) int32, with 128 times the sum of each row of w2, since h1 goes in less 128; w3: (2, 32) int32; b3: (2,)
    int32; shifts: (6,) int32."""

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    b3: torch.Tensor
    shifts: torch.Tensor

    def to(self, device: torch.device | str) -> Packed:
        """The same on another device."""
        return Packed(*(getattr(self, field.name).to(device) for field in fields(self)))


def pack(
    w1: torch.Tensor,
    b1: torch.Tensor,
    w2: torch.Tensor,
    b2: torch.Tensor,
    w3: torch.Tensor,
    b3: torch.Tensor,
    linear: torch.Tensor,
    shifts: torch.Tensor,
    columns: Sequence[int],
) -> Packed:
    """A network of I inputs, H <= 64 and then G <= 32 hidden values, 2 outputs, whose input i is number columns[i] of
    128.

    w1: (H, I), w2: (G, H), w3: (2, G), linear: (2, I), all int8; b1: (H,), b2: (G,), b3: (2,) int32; shifts: (6,) int8.
    Raises ValueError where it is larger than that.
    """
    (first, inputs), second = w1.shape, len(w2)
    if first > FIRST or second > SECOND or len(columns) != inputs or max(columns) >= INPUTS:
        raise ValueError(f"a network of {inputs} inputs, {first} and {second} hidden values does not fit")
    found = Packed(
        torch.zeros((FIRST + LINES, INPUTS), dtype=torch.int8),
        torch.zeros(FIRST, dtype=torch.int32),
        torch.zeros((SECOND, FIRST), dtype=torch.int8),
        torch.zeros(SECOND, dtype=torch.int32),
        torch.zeros((OUTPUTS, SECOND), dtype=torch.int32),
        b3.to(torch.int32),
        shifts.to(torch.int32),
    )
    found.w1[:first, list(columns)] = w1
    found.w1[FIRST : FIRST + OUTPUTS, list(columns)] = linear
    found.b1[:first] = b1
    found.w2[:second, :first] = w2
    found.b2[:second] = b2 + 128 * w2.to(torch.int32).sum(1, dtype=torch.int32)
    found.w3[:, :second] = w3
    return found
