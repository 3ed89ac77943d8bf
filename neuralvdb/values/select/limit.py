"""The bytes that every bit of a tree's values takes: the limit to beat, counted only where an estimate does not do."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.coded import CodedValues, exact
from neuralvdb.values.lossless import active_size, repeats_size
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import LeafLevel, popcount

_HOPELESS = 2.0  # times the limit, which fine-tuning does not make up for
_RUNS, _RUN = 8, 4  # runs of neighbouring leaves whose values are tried, and leaves of each
_SURE = 0.5  # of these estimates: a sample is not the grid
_LOW = 0.5  # bits for each active voxel: lossy values seldom take fewer


@dataclass(frozen=True)
class Limit:
    """The limit of a tree."""

    tree: Tree

    def exceeds(self, size: float) -> bool:
        """Whether the limit is above so many bytes."""
        return size < self._least or size < self.coded.size

    def is_hopeless(self, size: int) -> bool:
        """Whether so many bytes are far above the limit."""
        return not self.exceeds(size / _HOPELESS)

    @cached_property
    def is_low(self) -> bool:
        """Whether the limit may be so low that lossy values hardly get below it; of small trees that is not asked."""
        return 0 < 8 * self._least < _LOW * popcount(self.tree.leaf.active)

    @cached_property
    def coded(self) -> CodedValues:
        """The values, every bit kept."""
        return exact(self.tree)

    @cached_property
    def _least(self) -> float:
        """Bytes below the limit, by a sample and by what repeats; 0 of small trees, which are counted at once."""
        leaf = self.tree.leaf
        if len(leaf) < 2 * _RUNS * _RUN:
            return 0.0
        first = np.linspace(0, len(leaf) - _RUN, _RUNS).astype(np.int64)
        leaves = (first[:, None] + np.arange(_RUN)).reshape(-1)
        sample = LeafLevel(leaf.active[leaves], leaf.values[leaves])
        share = popcount(sample.active) / max(popcount(leaf.active), 1)
        return _SURE * min(active_size(sample) / share, repeats_size(leaf)) if share else 0.0
