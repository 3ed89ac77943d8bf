"""A small volume with what others lack: several chunks, grids that share a tree, masks that are alike, outliers, and
inactive values of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from neuralvdb.vdb import from_dense, write_vdb
from neuralvdb.volume import Storage, VolumeGrid

_LENGTH = 4070
_BLOBS = (0, 300, 4060)  # where leaves are along x: the first two in one chunk that is no cube, the last in its own


def write_rich_volume(path: Path) -> None:
    """Two fogs of three leaves in two chunks, the second with outliers, and an instance of the first."""
    rng = np.random.default_rng(5)
    fog = np.zeros((_LENGTH, 8, 8), np.float32)
    for begin in _BLOBS:
        radius = np.linalg.norm(np.indices((8, 8, 8)) - 3.5, axis=0)
        fog[begin : begin + 8] = np.maximum(0, 1 - radius / 4.2) + 0.02 * rng.random((8, 8, 8)) * (radius < 4.2)
    heat = fog * (rng.random(fog.shape) > 0.04)
    values = heat * 300
    values[3, 3, 3], values[4, 3, 3] = np.nan, np.inf
    density = _with_inactive(from_dense(fog, name="density", active=fog > 0))
    temperature = from_dense(values, name="temperature", active=heat > 0)
    again = replace(density, unique_name=b"again", storage=Storage.INSTANCE, parent=b"density", tree=None)
    write_vdb(path, [density, temperature, again])


def _with_inactive(grid: VolumeGrid) -> VolumeGrid:
    """The grid with inactive values of its own in one leaf, of two kinds in another."""
    leaf = grid.tree.leaf
    active = np.unpackbits(leaf.active, axis=1, bitorder="little").astype(bool)
    values = leaf.values.copy()
    values[0][~active[0]] = np.random.default_rng(6).random(np.count_nonzero(~active[0]))
    values[1][~active[1]] = np.where(np.arange(np.count_nonzero(~active[1])) % 3, 0.25, 0.75)
    return replace(grid, tree=replace(grid.tree, leaf=replace(leaf, values=values)))
