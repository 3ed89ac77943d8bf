"""torch transcription of values/lattice/points.py: a list of the set flags for each pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.bricks import Targets

if TYPE_CHECKING:
    from neuralvdb.kernels.compact import Flags


def compact(levels: Sequence[Flags]) -> list[list[Targets]]:
    """Arguments as in the package."""
    return [[_listed(level, number) for number in range(level.count)] for level in levels]


def _listed(level: Flags, number: int) -> Targets:
    is_set = (level.flags[: level.bricks] != 0) & (level.passes == number)
    points = torch.nonzero(is_set.reshape(-1))[:, 0]
    bricks = torch.tensor(list(level.begins), device=points.device)
    return Targets(points=points.to(torch.int32), starts=torch.searchsorted(points, bricks * 512))
