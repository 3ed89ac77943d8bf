"""Vectors of blocks that move a grid of another frame onto one that no velocities of its frame carry along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.motion import Blocks, Leaves, Motion
from neuralvdb.motion.move import LIMIT
from neuralvdb.motion.search_blocks import Wanted, search_blocks
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import unpack

if TYPE_CHECKING:
    from neuralvdb.values import Promise

FEW, MANY = 1 << 12, 1 << 14  # active voxels that count


def find_blocks(tree: Tree, source: Leaves, motion: Motion, promise: Promise, most: int) -> Blocks | None:
    """The vectors by which a source, once shifted, resembles a tree of one component as values are coded; None where
    there would be too many. most: active voxels that count, evenly spread."""
    counted, quantiser = unpack(tree.leaf.active), promise.quantiser
    active = np.flatnonzero(counted)
    every = max(-(-len(active) // most), 1)
    counted.ravel()[active[np.arange(len(active)) % every > 0]] = False
    values = quantiser.nearest(tree.leaf.values.reshape(counted.shape)).clip(-LIMIT, LIMIT)
    return search_blocks(source, Wanted(tree.leaf_origins, values, counted, quantiser.knee), motion)
