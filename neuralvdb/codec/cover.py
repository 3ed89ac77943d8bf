"""Pruned topology, the encoder's part: what is coded in place of a tree whose mask shall follow from its values.

Leaves none of whose active voxels is further from the background than the maximum error go; the others are coded
whole, inactive voxels with the background. Of what is decoded a voxel is active if it is not the background. So the
error holds for every voxel that is active before or after, and the masks cost next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuralvdb.codec.frame_table import content_hash
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.codec.pruning import all_components
from neuralvdb.settings import CompressSettings
from neuralvdb.topology import Topology, count_differing
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.promise import Promise
from neuralvdb.volume import Tree, TreeLevel, VolumeGrid
from neuralvdb.volume.grid import popcount, unpack
from neuralvdb.volume.regions import without_leaves

_WORTHWHILE = 0.9  # what is coded of a tree that is pruned must be at most so much of its active voxels


@dataclass(frozen=True)
class Cover:
    """What is coded in place of a tree, and the promise it is coded under."""

    tree: Tree
    promise: Promise


def cover_of(grid: VolumeGrid, settings: CompressSettings) -> Cover | None:
    """The cover of a grid whose topology is to be pruned; None where it stays exact: nothing is asked, no maximum error
    is promised, it is a level set, the lattice cannot hit the background, too few voxels would go, or all of them."""
    if settings.topology != "pruned" or grid.tree is None:
        return None
    promise = promise_for(grid, settings)
    if promise is None or promise.mode.lattice is LatticeKind.MEAN:
        return None
    if promise.bound.psnr or promise.mode.family == "levelset":
        return None
    if not _hits(promise, grid.tree.root.background):
        return None
    tree = covered(grid.tree, promise)
    worth = 0 < popcount(tree.leaf.active) <= _WORTHWHILE * popcount(grid.tree.leaf.active)
    return Cover(tree, promise) if worth else None


def covered(tree: Tree, promise: Promise) -> Tree:
    """The tree without the leaves that may go; those that stay are active everywhere, unless an inactive voxel of
    theirs is not the background."""
    leaf, ground = tree.leaf, tree.root.background
    plain = (unpack(leaf.active) | _equal(leaf.values, ground)).all(1)
    stays = ~plain | _needed(tree, promise).any(1)
    lower = without_leaves(tree.lower, stays, ground)
    masks = np.where(plain[:, None], np.uint8(255), leaf.active)
    return replace(tree, lower=lower, leaf=TreeLevel(None, masks[stays], leaf.values[stays]))


def changed(original: Tree, pruned: Tree) -> int:
    """Voxels that are active in one of the trees only."""
    return count_differing(Topology.of(original), Topology.of(pruned))


def kept(promise: Promise, original: VolumeGrid, decoded: VolumeGrid) -> bool:
    """Whether a pruned grid is within the error of the original in all voxels of leaves, and nothing else differs."""
    if original.tree is None or decoded.tree is None:
        return False
    wanted = covered(original.tree, promise)
    ours, theirs = decoded.tree.leaf, wanted.leaf
    if ours.values.shape != theirs.values.shape:
        return False
    coded, active = unpack(theirs.active), unpack(ours.active)
    equal = _equal(ours.values, theirs.values)
    near = all_components(promise.kept(theirs.values, ours.values))
    ground = _equal(ours.values, wanted.root.background)
    if not np.where(coded, (near | equal) & (active | ground), equal & ~active).all():
        return False
    rest = replace(decoded, tree=replace(decoded.tree, leaf=theirs))
    return content_hash(rest) == content_hash(replace(original, tree=wanted))


def _needed(tree: Tree, promise: Promise) -> np.ndarray:
    """(N, 512) bool: active voxels that are too far from the background."""
    values = tree.leaf.values
    near = promise.kept(values, np.broadcast_to(tree.root.background, values.shape))
    return unpack(tree.leaf.active) & ~all_components(near)


def _hits(promise: Promise, ground: np.ndarray) -> bool:
    """Whether the background decodes to itself."""
    found = promise.quantiser.values(promise.quantiser.nearest(np.atleast_1d(ground))).astype(ground.dtype)
    if promise.mode.half:
        found = found.astype(np.float32).astype(np.float16).astype(ground.dtype)
    return bool((found == ground).all())


def _equal(values: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """(N, 512) bool: where all components have the same bits."""
    kind = f"u{values.itemsize}"
    return all_components(values.view(kind) == np.ascontiguousarray(np.broadcast_to(ground, values.shape)).view(kind))
