"""What each input of a network is: a state at an offset, or a constant."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from neuralvdb.kernels.network import INPUTS

ABOVE, SAME, REFERENCE, ONE, NONE = range(5)  # a state of the level above, of the level, of the reference; 16; 0
Offsets = Iterable[tuple[int, int, int]]


def points_of(above: Offsets, same: Offsets, reference: Offsets, levels: Iterable[bool]) -> torch.Tensor:
    """(4, 128) int32: dx, dy, dz and kind of each input, in the order of arguments; levels: which of the family's
    levels this is. Offsets are in cells of what they lead to."""
    found = torch.zeros((4, INPUTS), dtype=torch.int32)
    found[3] = NONE
    kinds = [(ABOVE, above), (SAME, same), (REFERENCE, reference)]
    inputs = [(*offset, kind) for kind, offsets in kinds for offset in offsets]
    inputs += [(0, 0, 0, ONE if level else NONE) for level in levels]
    if inputs:
        found[:, : len(inputs)] = torch.tensor(inputs, dtype=torch.int32).T
    return found
