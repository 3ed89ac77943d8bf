"""Twin of values/lattice/reference_means.py on a device: the means of a reference, in integers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neuralvdb.kernels.compand import companded
from neuralvdb.kernels.levels import Pairs
from neuralvdb.kernels.levels.reference import halves_of


class ReferenceMeans:
    """Of a batch (reference.WholeValues). A level asked for frees those above it.

    voxels: (R, 512) int64, lattice values of coded voxels, not companded, else 0; pairs: of all levels but the finest;
    counts: (R, 512) int32 of all levels, coded voxels of each cell.
    """

    def __init__(self, voxels: torch.Tensor, pairs: Sequence[Pairs], counts: Sequence[torch.Tensor], knee: int) -> None:
        self._pairs, self._counts, self._knee = pairs, counts, knee
        self._sums = [voxels]
        for joined in pairs:
            first, second = halves_of(self._sums[-1], joined)
            self._sums.append(first + second)
        self._current: tuple[int, torch.Tensor] | None = None

    def top(self) -> torch.Tensor:
        """As in WholeValues: companded means."""
        return self._means(len(self._pairs))

    def level(self, level: int) -> torch.Tensor:
        """As in WholeValues: of cells of level + 1 both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        if self._current is None or self._current[0] != level:
            first, second = halves_of(self._means(level), self._pairs[level])
            self._current = level, (first - second).to(torch.int32)
        return self._current[1]

    def _means(self, level: int) -> torch.Tensor:
        """(R, 512) int64: companded means of the coded cells of a level."""
        del self._sums[level + 1 :]
        sums, counts = self._sums[level], self._counts[level].long().clamp_(min=1)
        return companded(torch.div(2 * sums + counts, 2 * counts, rounding_mode="floor"), self._knee)
