"""Whether little changes from frame to frame, so that frames are coded better from both sides than from the one before.

That is so where most of what a moved frame misses is what lossy coding has taken from it, rather than motion that it
does not follow: one that is far away is nearly as good as the next one then, and the mean of two better than either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from neuralvdb.codec.earlier import Source
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.codec.reference_search import measure_before
from neuralvdb.settings import CompressSettings
from neuralvdb.volume import Tree, VolumeGrid

_MOST_BITS = 5.3  # of a value on average: data/results/attempts.md
_COARSE = 0.1  # of the variance of a grid: where decoding is off by so much, next to nothing of it is coded


def is_slow(first: Iterable[VolumeGrid], last: Iterable[VolumeGrid], settings: CompressSettings) -> bool:
    """Whether lossy grids of a frame, moved onto those of one SPAN frames behind, leave few bits. Both are the
    originals; what is equal in both does not count."""
    before = [
        Source(number=number, tree=grid.tree, name=grid.unique_name, frame=1)
        for number, grid in enumerate(first)
        if grid.tree is not None
    ]
    trees = {source.name: source.tree for source in before}
    within, bits, count = list[Source](), 0.0, 0
    for number, grid in enumerate(last):
        tree, promise, same = grid.tree, promise_for(grid, settings), trees.get(grid.unique_name)
        if tree is None:
            continue
        if promise is not None and same is not None and not _equal(tree, same):
            left = measure_before(grid.unique_name, tree, promise, [*within, *before])
            if left is not None and left.noise < _COARSE:
                values = tree.leaf.values.size
                bits += values * math.log2(1 + min(left.share, 1.0) / left.noise)
                count += values
        within.insert(0, Source(number=number, tree=tree, name=grid.unique_name))
    return 0 < bits <= _MOST_BITS * count


def _equal(tree: Tree, other: Tree) -> bool:
    """Whether leaves are the same, so that they are stored once."""
    return np.array_equal(tree.leaf_origins, other.leaf_origins) and np.array_equal(tree.leaf.values, other.leaf.values)
