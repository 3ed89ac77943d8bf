"""Weights of a network laid out for the tensor cores; see README.md for why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np

TILE = 64  # columns that go to the tensor cores together
FEWEST = 2  # tiles
FIRST, SECOND, OUTPUTS = 64, 32, 2  # padded sizes of the layers
ALIGNED = 16  # bytes, as kernels expect tensors
LINES = 16  # rows of the linear path, the last ones of w1: as few as a product of tensor cores has


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network of I inputs, H <= 64 and then G <= 32 hidden values and 2 outputs, as it is stored.

    w1: (H, I) int8;  b1: (H,) int32;
    w2: (G, H) int8;  b2: (G,) int32;
    w3: (2, G) int8;  b3: (2,) int32;
    linear: (2, I) int8;
    shifts: (6,) int8, of both hidden layers, of both outputs, of both outputs' linear path.
    """

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    b3: torch.Tensor
    linear: torch.Tensor
    shifts: torch.Tensor

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Weights:
        """Those in NumPy arrays of the fields' names."""
        return cls(**{field.name: torch.tensor(arrays[field.name]) for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A network for kernels, C columns wide, C a multiple of 64. Columns that no input goes to have weights of 0.

    w1: (80, C) int8, rows 64 and 65 are the linear path and those behind 0;
    b1: (64,) int32;
    w2: (32, 64) int8;
    b2: (32,) int32, with 128 times the sum of each row of w2 added, since h1 goes in less 128;
    w3: (2, 32) int32;
    b3: (2,) int32;
    shifts: (6,) int32;
    columns: the column of each input.
    """

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    w3: torch.Tensor
    b3: torch.Tensor
    shifts: torch.Tensor
    columns: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """C."""
        return self.w1.shape[1]

    @cached_property
    def sources(self) -> tuple[int, ...]:
        """For each column the number of its input, that behind the last one where there is none."""
        numbers = {column: number for number, column in enumerate(self.columns)}
        return tuple(numbers.get(column, len(self.columns)) for column in range(self.inputs))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "columns"}

    def to(self, device: torch.device | str) -> Packed:
        """The same on another device."""
        return moved([self], device)[0]


def in_one_copy(tensors: Sequence[torch.Tensor], device: torch.device | str) -> list[torch.Tensor]:
    """The same tensors on a device, copied together."""
    ends = list(accumulate(-(-tensor.nbytes // ALIGNED) * ALIGNED for tensor in tensors))
    host = torch.zeros(ends[-1] if ends else 0, dtype=torch.uint8)
    begins = [0, *ends[:-1]]
    for tensor, begin in zip(tensors, begins, strict=True):
        host[begin : begin + tensor.nbytes] = tensor.reshape(-1).view(torch.uint8)
    on_device = host.to(device)
    return [
        on_device[begin : begin + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        for tensor, begin in zip(tensors, begins, strict=True)
    ]


def moved(networks: Sequence[Packed], device: torch.device | str) -> list[Packed]:
    """The same networks on a device, all of them in one copy."""
    tensors = [tensor for network in networks for tensor in network.tensors().values()]
    views = iter(in_one_copy(tensors, device))
    return [replace(network, **{name: next(views) for name in network.tensors()}) for network in networks]


def pack(weights: Weights, columns: Sequence[int]) -> Packed:
    """A network whose input i is column columns[i], in as few tiles as hold them all, at least two.

    Raises ValueError where a hidden layer is too large, or columns are not one for each input.
    """
    (first, inputs), second = weights.w1.shape, len(weights.w2)
    if first > FIRST or second > SECOND or len(set(columns)) != inputs:
        raise ValueError(f"a network of {inputs} inputs, {first} and {second} hidden values does not fit")
    width = TILE * max(FEWEST, -(-(max(columns) + 1) // TILE))
    w1 = torch.zeros((FIRST + LINES, width), dtype=torch.int8)
    b1 = torch.zeros(FIRST, dtype=torch.int32)
    w2 = torch.zeros((SECOND, FIRST), dtype=torch.int8)
    b2 = torch.zeros(SECOND, dtype=torch.int32)
    w3 = torch.zeros((OUTPUTS, SECOND), dtype=torch.int32)
    w1[:first, list(columns)] = weights.w1
    w1[FIRST : FIRST + OUTPUTS, list(columns)] = weights.linear
    b1[:first] = weights.b1
    w2[:second, :first] = weights.w2
    b2[:second] = weights.b2 + 128 * weights.w2.to(torch.int32).sum(1, dtype=torch.int32)
    w3[:, :second] = weights.w3
    b3, shifts = weights.b3.to(torch.int32), weights.shifts.to(torch.int32)
    return Packed(w1=w1, b1=b1, w2=w2, b2=b2, w3=w3, b3=b3, shifts=shifts, columns=tuple(columns))
