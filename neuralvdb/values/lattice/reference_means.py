"""The means of a reference on the mean lattice, in integers: decoders on all machines need the same."""

from __future__ import annotations

import numpy as np

from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.compand import compand_whole
from neuralvdb.values.lattice.constants import SLOTS
from neuralvdb.values.lattice.mean_pyramid import MeanLevel, halves, split_points
from neuralvdb.values.lattice.pass_order import split_axis
from neuralvdb.values.lattice.points import Points


class ReferenceMeans:
    """Means of the coded voxels of a reference on every level, rounded to whole lattice units and companded."""

    def __init__(self, component: ChunkComponent, pyramid: list[MeanLevel], quantiser: Quantiser) -> None:
        self._pyramid, self._knee = pyramid, quantiser.knee
        leaves = np.arange(len(component))
        voxels = np.zeros((len(pyramid[0].counts), SLOTS), np.int64)
        whole = Quantiser(quantiser.unit).nearest(component.rows(leaves))
        voxels[leaves] = np.where(component.active(leaves), whole, 0)
        self._sums = [voxels]
        for j, level in enumerate(pyramid[1:]):
            first, second = halves(self._sums[j], level.pairs, split_axis(j))
            self._sums.append(first + second)

    def means(self, j: int, points: Points) -> np.ndarray:
        """(n,) int64: the companded means of coded cells of level j."""
        sums, counts = self._sums[j][points.index], self._pyramid[j].counts[points.index].astype(np.int64)
        return compand_whole((2 * sums + counts) // (2 * counts), self._knee)

    def differences(self, j: int, points: Points) -> np.ndarray:
        """(n,) int64: of cells of level j + 1, both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        first, second = split_points(points, self._pyramid[j + 1].pairs, split_axis(j))
        return self.means(j, first) - self.means(j, second)
