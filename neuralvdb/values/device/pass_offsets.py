"""In which pass of a level each offset of a brick is, on a device."""

from __future__ import annotations

import functools

import numpy as np
import torch

from neuralvdb.kernels.compact import NONE
from neuralvdb.values.lattice.constants import EDGE, SLOTS
from neuralvdb.values.lattice.pass_order import PASSES


@functools.cache
def pass_numbers(device: torch.device) -> torch.Tensor:
    """(512,) uint8: of the sample lattice, the number in PASSES of each offset; even points have none."""
    point = np.stack(np.unravel_index(np.arange(SLOTS), (EDGE,) * 3), 1)
    numbers = np.full(SLOTS, NONE, np.uint8)
    for number, (axis, phase) in enumerate(PASSES):
        midway = (point[:, axis] % 2 == 1) & (point[:, axis + 1 :] % 2 == 0).all(1)
        halves = point // np.where(np.arange(3) < axis, 1, 2)
        numbers[midway & (halves.sum(1) % 2 == phase)] = number
    return torch.from_numpy(numbers).to(device)


@functools.cache
def phases(device: torch.device) -> torch.Tensor:
    """(512,) uint8: of the mean lattice, the phase of each offset, odd where the sum of its coordinates is."""
    offset = torch.arange(SLOTS)
    return ((offset >> 6) + (offset >> 3) + offset).bitwise_and_(1).to(torch.uint8).to(device)


@functools.cache
def all_in_one(device: torch.device) -> torch.Tensor:
    """(512,) uint8: all offsets are in pass 0."""
    return torch.zeros(SLOTS, dtype=torch.uint8, device=device)
