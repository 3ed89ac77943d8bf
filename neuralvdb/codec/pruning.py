"""Pruned topology: the mask follows from the values.

Encoding: leaves none of whose active voxels is further from the background than the maximum error are left out; the
others are coded whole, inactive voxels with the background. Decoding: a voxel is active if it is not the background.
So the error holds for every voxel that is active before or after, and the masks cost next to nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import values
from neuralvdb.codec.frame_table import content_hash
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.grid import popcount, unpack
from neuralvdb.volume.regions import keep_leaves

if TYPE_CHECKING:
    import torch

    from neuralvdb.values import Promise

_WORTHWHILE = 0.9  # pruning must leave at most this share of the active voxels to be coded


def derive_mask(tree: Tree) -> Tree:
    """The tree as it decodes: active voxels of leaves that equal the background are inactive."""
    active, background = unpack(tree.leaf.active), tree.root.background
    voxels = tree.leaf.values.copy()
    off = active & _all_components(voxels == background)
    voxels[off] = background
    masks = np.packbits(active & ~off, axis=1, bitorder="little")
    return replace(tree, leaf=replace(tree.leaf, active=masks, values=voxels))


def derive_mask_on_device(
    background: np.ndarray, masks: torch.Tensor, voxels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twin of derive_mask() for leaves on a device: masks (N, 64) uint8 and values (N, 512, C)."""
    ground = voxels.new_tensor(background.reshape(-1))
    bits = 1 << masks.new_tensor(range(8))
    active = (masks[..., None] & bits).reshape(len(masks), -1) != 0
    off = active & (voxels == ground).all(2)
    left = (active & ~off).view(*masks.shape, 8) * bits
    return left.sum(2).to(masks.dtype), voxels.where(~off[..., None], ground)


def prunable(tree: Tree, promise: Promise) -> Tree | None:
    """What is coded in place of a tree whose topology may be pruned; None where the topology stays exact.

    It stays exact where no maximum error is promised, in level sets, where the lattice cannot hit the background, and
    where too few voxels would go, or all of them.
    """
    if promise.mode.lattice is values.LatticeKind.MEAN or promise.bound.psnr or promise.mode.family == "levelset":
        return None
    if not _hits(promise, tree.root.background):
        return None
    needed = keep_needed_leaves(tree, promise)
    worthwhile = 0 < popcount(needed.leaf.active) <= _WORTHWHILE * popcount(tree.leaf.active)
    return needed if worthwhile else None


def keep_needed_leaves(tree: Tree, promise: Promise) -> Tree:
    """The tree without the leaves that may go. Those that stay are active everywhere, unless an inactive voxel of
    theirs is not the background."""
    leaf, background = tree.leaf, tree.root.background
    uniform = (unpack(leaf.active) | _same_bits(leaf.values, background)).all(1)
    needed = ~uniform | _far_from_background(tree, promise).any(1)
    return keep_leaves(tree, needed, np.where(uniform[:, None], np.uint8(255), leaf.active))


def check_pruned(promise: Promise, original: VolumeGrid, decoded: VolumeGrid) -> bool:
    """Whether a pruned grid is within the error of the original in all voxels of leaves, and nothing else differs."""
    if original.tree is None or decoded.tree is None:
        return False
    needed = keep_needed_leaves(original.tree, promise)
    leaf, coded_leaf = decoded.tree.leaf, needed.leaf
    if leaf.values.shape != coded_leaf.values.shape:
        return False
    coded, active = unpack(coded_leaf.active), unpack(leaf.active)
    equal = _same_bits(leaf.values, coded_leaf.values)
    near = _all_components(promise.kept(coded_leaf.values, leaf.values))
    is_background = _same_bits(leaf.values, needed.root.background)
    if not np.where(coded, (near | equal) & (active | is_background), equal & ~active).all():
        return False
    remainder = replace(decoded, tree=replace(decoded.tree, leaf=coded_leaf))
    return content_hash(remainder) == content_hash(replace(original, tree=needed))


def _far_from_background(tree: Tree, promise: Promise) -> np.ndarray:
    """(N, 512) bool: active voxels that the promise does not let be background."""
    voxels = tree.leaf.values
    near = promise.kept(voxels, np.broadcast_to(tree.root.background, voxels.shape))
    far: np.ndarray = unpack(tree.leaf.active) & ~_all_components(near)
    return far


def _hits(promise: Promise, background: np.ndarray) -> bool:
    """Whether the background decodes to itself."""
    on_lattice = promise.quantiser.nearest(np.atleast_1d(background))
    return bool((promise.values(on_lattice, background.dtype) == background).all())


def _same_bits(voxels: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(N, 512) bool: where all components have the same bits."""
    bits = f"u{voxels.itemsize}"
    spread = np.ascontiguousarray(np.broadcast_to(expected, voxels.shape))
    return _all_components(np.equal(voxels.view(bits), spread.view(bits)))


def _all_components(flags: np.ndarray) -> np.ndarray:
    """(N, 512) bool from flags (N, 512[, C]): where all components have theirs set."""
    return np.asarray(flags.all(2)) if flags.ndim == 3 else flags
