"""The inactive values of leaves, of which most have two different ones at most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select

SLOTS = 512


@dataclass(frozen=True, kw_only=True)
class Inactive:
    """What N leaves of C components hold where they are not active; values as their bits, int32 or int64.

    first, second: (N, C), the two values of each leaf;
    selected: (N,) int32, which of the S selections says where the second one stands; -1 for nowhere;
    selection: (S, 64) uint8, bits, lowest first;
    begins: (N,) int64, where the values of a leaf all of whose values are stored begin; -1 for other leaves;
    stored: (M, C).
    """

    first: torch.Tensor
    second: torch.Tensor
    selected: torch.Tensor
    selection: torch.Tensor
    begins: torch.Tensor
    stored: torch.Tensor

    def __post_init__(self) -> None:
        leaves, components = self.first.shape
        for name, count in (("first", leaves), ("second", leaves), ("stored", None)):
            checked(name, getattr(self, name), self.first.dtype, count, components)
        checked("selected", self.selected, torch.int32, leaves)
        checked("selection", self.selection, torch.uint8, None, SLOTS // 8)
        checked("begins", self.begins, torch.int64, leaves)


def restore(
    inactive: Inactive, leaves: torch.Tensor, masks: torch.Tensor, *, implementation: str = "auto"
) -> torch.Tensor:
    """(B, 512, C) bits of some leaves, 0 where they are active.

    leaves: (B,) int64, below N; masks: (B, 64) uint8, their active voxels, bits, lowest first. Raises ValueError on
    other shapes or types.
    """
    checked("leaves", leaves, torch.int64, None)
    checked("masks", masks, torch.uint8, len(leaves), SLOTS // 8)
    shape = (len(leaves), SLOTS, inactive.first.shape[1])
    values = torch.empty(shape, dtype=inactive.first.dtype, device=masks.device)
    select(__name__, "restore", implementation, masks)(inactive, leaves, masks, values)
    return values
