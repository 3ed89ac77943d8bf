"""What OpenVDB makes of a grid: the part in a box, and coarser grids (volume.regions has what needs no OpenVDB)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Box
from neuralvdb.vdb import _bridge
from neuralvdb.vdb.files import arrays_of, tree_of
from neuralvdb.volume.grid import Storage, VolumeGrid, leaf_origins
from neuralvdb.volume.regions import keep_leaves, touched


def clip(grid: VolumeGrid, box: Box) -> VolumeGrid:
    """The grid with inactive background outside of the box, as OpenVDB's clip() has it; of points all leaves that meet
    the box. Instances and raw grids come back as they are. Raises DamagedFile."""
    try:
        if grid.tree is not None:
            keep = touched(leaf_origins(grid.tree), box)
            arrays = arrays_of(keep_leaves(grid.tree, keep))
            metadata, cut = _bridge.clip_tree(*_head(grid), arrays, box.low, box.high)
            return replace(grid, metadata=metadata, tree=tree_of(cut))
        if grid.storage is Storage.SERIAL:
            metadata, blob = _bridge.clip_serial(*_head(grid), grid.blob, box.low, box.high)
            return replace(grid, metadata=metadata, blob=blob)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"grid '{grid.name}' cannot be cut: {error}; get another copy") from error
    return grid


def coarse(
    grid: VolumeGrid, cells: np.ndarray, active: np.ndarray, lod: int, *, means: bool, box: Box | None = None
) -> VolumeGrid:
    """The grid with voxels 2**lod times as long: its tiles, and for its leaves cells (N, M, C) and active (N, M) bool.

    means: whether cells are means rather than samples, which decides where they lie. box: in voxels of `grid`; what
    lies outside of it may be left out. Raises DamagedFile.
    """
    assert grid.tree is not None
    values = np.ascontiguousarray(cells, grid.tree.leaf.values.dtype)
    shape = (*values.shape[:2], *grid.tree.leaf.values.shape[2:])
    coarse_arrays = {"values": values.reshape(shape), "active": np.ascontiguousarray(active, np.uint8)}
    transform = coarse_transform(grid, lod, means=means)
    try:
        wanted = None if box is None else (box.coarse(lod).low, box.coarse(lod).high)
        metadata, arrays = _bridge.coarsen(*_head(grid), arrays_of(grid.tree), coarse_arrays, lod, wanted)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"grid '{grid.name}' cannot be made coarser: {error}; get another copy") from error
    return replace(grid, metadata=metadata, transform=transform, tree=tree_of(arrays))


def coarse_transform(grid: VolumeGrid, lod: int, *, means: bool) -> bytes:
    """The transform of coarse(). Raises DamagedFile."""
    try:
        return _bridge.coarse_transform(grid.transform, lod, ((1 << lod) - 1) / 2 if means else 0.0)
    except _bridge.DamagedError as error:
        raise DamagedFile(f"the transform of grid '{grid.name}' cannot be scaled: {error}; get another copy") from error


def _head(grid: VolumeGrid) -> tuple[str, bytes, bytes]:
    return grid.grid_type, grid.metadata, grid.transform
