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
_FEWEST = 64  # one leaf in so many at least, the first ones, tells what repeats as a rule
_FRAME = 1 << 12  # bytes by which the first values may take more when no others follow
_LOW = 0.5  # bits for each active voxel: lossy values seldom take fewer


@dataclass(frozen=True)
class Limit:
    """The limit of a tree."""

    tree: Tree

    def exceeds(self, size: float) -> bool:
        """Whether the limit is above so many bytes."""
        return self._surely_exceeds(size) or size < self.coded.size

    def is_hopeless(self, size: int) -> bool:
        """Whether so many bytes are far above the limit."""
        return not self.exceeds(size / _HOPELESS)

    @cached_property
    def is_low(self) -> bool:
        """Whether the limit may be so low that lossy values hardly get below it; of small trees that is not asked."""
        low = _LOW * popcount(self.tree.leaf.active) / 8
        return self._by_sample > 0 and not self._surely_exceeds(float(np.nextafter(low, 0)))

    @cached_property
    def coded(self) -> CodedValues:
        """The values, every bit kept."""
        return exact(self.tree)

    def _surely_exceeds(self, size: float) -> bool:
        """Whether estimates put the limit above so many bytes: by a sample and by what repeats. Never of small trees,
        which are counted at once."""
        if size >= _SURE * self._by_sample:
            return False
        share = max(1, min(_FEWEST, int(_SURE * self._by_sample / max(size, 1))))  # would do by the sample
        return size < _SURE * self._by_repeats(share) or size < _SURE * self._by_repeats()

    @cached_property
    def _by_sample(self) -> float:
        """Bytes of active values as those of a sample suggest them, 0 of small trees."""
        leaf = self.tree.leaf
        if len(leaf) < 2 * _RUNS * _RUN:
            return 0.0
        first = np.linspace(0, len(leaf) - _RUN, _RUNS).astype(np.int64)
        leaves = (first[:, None] + np.arange(_RUN)).reshape(-1)
        sample = LeafLevel(leaf.active[leaves], leaf.values[leaves])
        share = popcount(sample.active) / max(popcount(leaf.active), 1)
        return active_size(sample) / share if share else 0.0

    def _by_repeats(self, share: int = 1) -> int:
        """Bytes of the active values where only what they repeat is left out; of one leaf in so many, the first ones,
        what these are at least."""
        if share not in self._repeats:
            leaf, count = self.tree.leaf, len(self.tree.leaf) // share
            size = repeats_size(LeafLevel(leaf.active[:count], leaf.values[:count]))
            self._repeats[share] = size - _FRAME * (share > 1)
        return self._repeats[share]

    @cached_property
    def _repeats(self) -> dict[int, int]:
        return {}
