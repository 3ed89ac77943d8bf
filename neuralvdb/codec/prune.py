"""Pruned topology, the decoder's part: the mask follows from the values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.volume import Level, Tree
from neuralvdb.volume.grid import unpack


def pruned(tree: Tree) -> Tree:
    """The tree with active voxels of leaves inactive where they equal the background."""
    active, ground = unpack(tree.leaf.active), tree.root.background
    values = tree.leaf.values.copy()
    there = active & all_components(values == ground)
    values[there] = ground
    return replace(tree, leaf=Level(None, np.packbits(active & ~there, axis=1, bitorder="little"), values))


def all_components(flags: np.ndarray) -> np.ndarray:
    """(N, 512) bool from flags (N, 512[, C]): where all components have theirs set."""
    return flags.all(2) if flags.ndim == 3 else flags
