"""Parts of grids: what lies in a box, and coarser grids for previews.

A grid of level of detail k (lod) has voxels 2**k times as long. Its voxel c is either the sample of voxel 2**k c, or
the mean of the 8**k voxels of a cell from there on; the transform puts it in the middle of what it stands for. Letters
in shapes: N leaves, M cells of a leaf (512 / 8**k), C components.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Box
from neuralvdb.volume import _bridge
from neuralvdb.volume.grid import Level, Storage, Tree, VolumeGrid, leaf_origins, unpack
from neuralvdb.volume.vdb import arrays_of, tree_of


def touched(origins: np.ndarray, box: Box) -> np.ndarray:
    """(N,) bool: whether the leaf at each of `origins` (N, 3), in voxels, meets the box."""
    return ((origins + 7 >= np.array(box.low)) & (origins <= np.array(box.high))).all(1)


def without_leaves(lower: Level, keep: np.ndarray, background: np.ndarray) -> Level:
    """The lower nodes with inactive background where a leaf was that `keep` (N,) bool leaves out."""
    child = unpack(lower.child).copy()
    values = lower.values.copy()
    gone = np.flatnonzero(child)[~keep]
    child.reshape(-1)[gone] = False
    values.reshape(-1, *values.shape[2:])[gone] = background
    return Level(np.packbits(child, axis=1, bitorder="little"), lower.active, values)


def clip(grid: VolumeGrid, box: Box) -> VolumeGrid:
    """The grid with inactive background outside of the box, as OpenVDB's clip() has it; of points all leaves that meet
    the box. Instances and raw grids come back as they are. Raises DamagedFile."""
    try:
        if grid.tree is not None:
            keep = touched(leaf_origins(grid.tree), box)
            leaf = Level(None, grid.tree.leaf.active[keep], grid.tree.leaf.values[keep])
            lower = without_leaves(grid.tree.lower, keep, grid.tree.root.background)
            arrays = arrays_of(replace(grid.tree, lower=lower, leaf=leaf))
            metadata, cut = _bridge.clip_tree(*_head(grid), arrays, box.low, box.high)
            return replace(grid, metadata=metadata, tree=tree_of(cut))
        if grid.storage is Storage.SERIAL:
            metadata, blob = _bridge.clip_serial(*_head(grid), grid.blob, box.low, box.high)
            return replace(grid, metadata=metadata, blob=blob)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"grid '{grid.name}' cannot be cut: {error}") from error
    return grid


def coarse(grid: VolumeGrid, cells: np.ndarray, active: np.ndarray, lod: int, *, means: bool) -> VolumeGrid:
    """The grid with voxels 2**lod times as long: its tiles, and for its leaves cells (N, M, C) and active (N, M) bool.

    means: whether cells are means rather than samples, which decides where they lie. Raises DamagedFile.
    """
    assert grid.tree is not None
    values = np.ascontiguousarray(cells, grid.tree.leaf.values.dtype)
    shape = (*values.shape[:2], *grid.tree.leaf.values.shape[2:])
    found = {"values": values.reshape(shape), "active": np.ascontiguousarray(active, np.uint8)}
    transform = coarse_transform(grid, lod, means=means)
    try:
        metadata, arrays = _bridge.coarsen(*_head(grid), arrays_of(grid.tree), found, lod)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"grid '{grid.name}' cannot be made coarser: {error}") from error
    return replace(grid, metadata=metadata, transform=transform, tree=tree_of(arrays))


def coarse_transform(grid: VolumeGrid, lod: int, *, means: bool) -> bytes:
    """The transform of coarse(). Raises DamagedFile."""
    try:
        return _bridge.coarse_transform(grid.transform, lod, ((1 << lod) - 1) / 2 if means else 0.0)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"the transform of grid '{grid.name}' cannot be scaled: {error}") from error


def sampled(tree: Tree, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, M, C) and active (N, M) bool: every 2**lod-th voxel of each leaf."""
    first = (slice(None), slice(None), 0)
    return _cells(tree.leaf.values, lod)[first], _cells(unpack(tree.leaf.active), lod)[..., 0][first]


def averaged(tree: Tree, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, M, C) float64 and active (N, M) bool: means of the active voxels of each, the first where none is."""
    values, on = _cells(tree.leaf.values, lod), _cells(unpack(tree.leaf.active), lod)
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.where(on, values, 0).sum(2, dtype=np.float64) / np.maximum(on.sum(2), 1)
    active = on[..., 0].any(2)
    return np.where(active[..., None], total, values[:, :, 0]), active


def _cells(voxels: np.ndarray, lod: int) -> np.ndarray:
    """(N, M, 8**lod, C) from voxels (N, 512[, C])."""
    edge, count, components = 8 >> lod, 1 << lod, voxels.shape[2] if voxels.ndim == 3 else 1
    parts = voxels.reshape(len(voxels), *(edge, count) * 3, components).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return parts.reshape(len(voxels), edge**3, count**3, components)


def _head(grid: VolumeGrid) -> tuple[str, bytes, bytes]:
    return grid.grid_type, grid.metadata, grid.transform
