"""The set flags of bricks as lists of points, pass by pass, for many levels at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from neuralvdb.kernels.bricks import Targets
from neuralvdb.kernels.dispatch import checked, select

NONE = 255


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags of a level's bricks, and in which pass each is.

    flags: (R, 512) uint8, set where not 0; of the first B bricks, those of D streams;
    passes: (512,) uint8, the pass of each offset, 255 for none;
    count: of passes;
    begins: D + 1 numbers, the brick that each stream begins with, and B.
    """

    flags: torch.Tensor
    passes: torch.Tensor
    count: int
    begins: Sequence[int]

    def __post_init__(self) -> None:
        checked("flags", self.flags, torch.uint8, None, 512)
        checked("passes", self.passes, torch.uint8, 512)

    @property
    def bricks(self) -> int:
        """B."""
        return self.begins[-1]


def compact(levels: Sequence[Flags], *, implementation: str = "auto") -> list[list[Targets]]:
    """The points of each pass of each level, in order of bricks and offsets.

    The host waits for the device once, for their numbers. Raises ValueError on other shapes or types.
    """
    listed: list[list[Targets]] = select(__name__, "compact", implementation, levels[0].flags)(levels)
    return listed
