"""Twin of values/lattice/reference_means.py on a device: the means of a reference, in integers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neuralvdb.kernels.compand import companded
from neuralvdb.kernels.levels import Pairs, Sums, join_sums
from neuralvdb.values.lattice.constants import SLOTS


class ReferenceMeans:
    """Of a batch (reference.WholeValues).

    voxels: (R, 512) int64, lattice values of coded voxels, not companded, else 0; pairs: of all levels but the finest;
    counts: (R, 512) int32 of all levels, coded voxels of each cell; implementation: of kernels.
    """

    def __init__(
        self,
        voxels: torch.Tensor,
        pairs: Sequence[Pairs],
        counts: Sequence[torch.Tensor],
        knee: int,
        implementation: str,
    ) -> None:
        bricks = [len(above.bricks) for above in pairs]
        rooms = (
            torch.empty((sum(bricks), SLOTS), dtype=dtype, device=voxels.device).split(bricks)
            for dtype in (torch.int64, torch.int32)
        )
        joined = [Sums(sums=sums, differences=differences) for sums, differences in zip(*rooms, strict=True)]
        sums = voxels
        for of_level, above, each in zip(counts, pairs, joined, strict=False):
            join_sums(sums, of_level, above, knee, each, implementation=implementation)
            sums = each.sums
        self._differences = [each.differences for each in joined]
        voxels_of_top = counts[-1].clamp(min=1)
        self._top = companded(torch.div(2 * sums + voxels_of_top, 2 * voxels_of_top, rounding_mode="floor"), knee)

    def top(self) -> torch.Tensor:
        """As in WholeValues: companded means."""
        return self._top

    def level(self, level: int) -> torch.Tensor:
        """As in WholeValues: of cells of level + 1 both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        return self._differences[level]
