"""Parts of grids: what lies in a box, and coarser grids for previews.

A grid of level of detail k (lod) has voxels 2**k times as long. Its voxel c is either the sample of voxel 2**k c, or
the mean of the 8**k voxels of a cell from there on; the transform puts it in the middle of what it stands for. Letters
in shapes: N leaves, M cells of a leaf (512 / 8**k), C components.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.settings import Box
from neuralvdb.volume.grid import (
    LOWER_LOG2,
    UPPER_LOG2,
    InnerLevel,
    LeafLevel,
    Tree,
    child_origins,
    leaf_origins,
    lower_origins,
    unpack,
)

_CHUNK = 1 << 12  # leaves averaged together; bounds the memory for temporaries


def touched(origins: np.ndarray, box: Box) -> np.ndarray:
    """(N,) bool: whether the leaf at each of `origins` (N, 3), in voxels, meets the box."""
    meets = np.ones(len(origins), bool)
    for along, low, high in zip(origins.T, box.low, box.high, strict=True):
        meets &= (along >= low - 7) & (along <= high)
    return meets


def active_box(tree: Tree) -> Box | None:
    """The smallest box that holds every active voxel and active tile; None where nothing is active."""
    root, lowers = tree.root, lower_origins(tree)
    leaf, voxel = np.nonzero(unpack(tree.leaf.active))
    voxels = leaf_origins(tree)[leaf] + np.stack([voxel >> 6, voxel >> 3 & 7, voxel & 7], axis=1)
    active = [
        (voxels, 1),
        (child_origins(lowers, tree.lower.active, LOWER_LOG2, 8), 8),
        (child_origins(root.child_origins, tree.upper.active, UPPER_LOG2, 128), 128),
        (root.tile_origins[root.tile_active != 0], 4096),
    ]
    corners = [(origins.min(0), origins.max(0) + (edge - 1)) for origins, edge in active if len(origins)]
    if not corners:
        return None
    low, high = np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)
    return Box((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))


def without_leaves(lower: InnerLevel, keep: np.ndarray, background: np.ndarray) -> InnerLevel:
    """The lower nodes with inactive background where a leaf was that `keep` (N,) bool leaves out."""
    child = unpack(lower.child).copy()
    values = lower.values.copy()
    gone = np.flatnonzero(child)[~keep]
    child.reshape(-1)[gone] = False
    values.reshape(-1, *values.shape[2:])[gone] = background
    return InnerLevel(np.packbits(child, axis=1, bitorder="little"), lower.active, values)


def keep_leaves(tree: Tree, keep: np.ndarray, active: np.ndarray | None = None) -> Tree:
    """The tree with the leaves `keep` (N,) bool only, and inactive background in place of the others.

    active: (N, 64) uint8, masks for the leaves; None: those that they have.
    """
    masks = tree.leaf.active if active is None else active
    lower = without_leaves(tree.lower, keep, tree.root.background)
    return Tree(tree.root, tree.upper, lower, LeafLevel(masks[keep], tree.leaf.values[keep]))


def sampled(tree: Tree, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, M, C) and active (N, M) bool: every 2**lod-th voxel of each leaf."""
    return first_voxels(tree.leaf.values, lod), sampled_masks(tree.leaf.active, lod)


def sampled_masks(masks: np.ndarray, lod: int) -> np.ndarray:
    """(N, M) bool: every 2**lod-th voxel of masks (N, 64) uint8."""
    cells = np.empty((len(masks), (8 >> lod) ** 3), bool)
    for i in range(0, len(masks), _CHUNK):
        cells[i : i + _CHUNK] = first_voxels(unpack(masks[i : i + _CHUNK]), lod)[..., 0]
    return cells


def averaged(tree: Tree, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, M, C) and active (N, M) bool: means of the active voxels of each cell, or its first where none is."""
    values, active = (array.copy() for array in sampled(tree, lod))
    for i in range(0, len(values), _CHUNK):
        piece = slice(i, i + _CHUNK)
        voxels, on = _cells(tree.leaf.values[piece], lod), _cells(unpack(tree.leaf.active[piece]), lod)
        with np.errstate(invalid="ignore", over="ignore"):
            means = np.where(on, voxels, 0).sum(2, dtype=np.float64) / np.maximum(on.sum(2), 1)
            active[piece] = on[..., 0].any(2)
            values[piece] = np.where(active[piece, :, None], means, values[piece])
    return values, active


def first_voxels(voxels: np.ndarray, lod: int) -> np.ndarray:
    """(N, M, C): every 2**lod-th of voxels (N, 512[, C])."""
    components, every = voxels.shape[2] if voxels.ndim == 3 else 1, slice(None, None, 1 << lod)
    cubes = voxels.reshape(len(voxels), 8, 8, 8, components)[:, every, every, every]
    return cubes.reshape(len(voxels), (8 >> lod) ** 3, components)


def _cells(voxels: np.ndarray, lod: int) -> np.ndarray:
    """(N, M, 8**lod, C) from voxels (N, 512[, C])."""
    edge, count, components = 8 >> lod, 1 << lod, voxels.shape[2] if voxels.ndim == 3 else 1
    cells = voxels.reshape(len(voxels), *(edge, count) * 3, components).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return cells.reshape(len(voxels), edge**3, count**3, components)
