"""Pruned topology, the decoder's part: the mask follows from the values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.volume import Tree, TreeLevel
from neuralvdb.volume.grid import unpack

if TYPE_CHECKING:
    import torch


def pruned(tree: Tree) -> Tree:
    """The tree with active voxels of leaves inactive where they equal the background."""
    active, ground = unpack(tree.leaf.active), tree.root.background
    values = tree.leaf.values.copy()
    there = active & all_components(values == ground)
    values[there] = ground
    return replace(tree, leaf=TreeLevel(None, np.packbits(active & ~there, axis=1, bitorder="little"), values))


def pruned_leaves(tree: Tree, masks: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of leaves on a device: masks (N, 64) uint8 and values (N, 512, C)."""
    ground = values.new_tensor(tree.root.background.reshape(-1))
    bits = 1 << masks.new_tensor(range(8))
    active = (masks[..., None] & bits).reshape(len(masks), -1) != 0
    there = active & (values == ground).all(2)
    left = (active & ~there).view(*masks.shape, 8) * bits
    return left.sum(2).to(masks.dtype), values.where(~there[..., None], ground)


def all_components(flags: np.ndarray) -> np.ndarray:
    """(N, 512) bool from flags (N, 512[, C]): where all components have theirs set."""
    return flags.all(2) if flags.ndim == 3 else flags
