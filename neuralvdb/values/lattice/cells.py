"""Cells of 2**lod voxels of leaves, looked up in what a lattice decodes to at that level of detail."""

from __future__ import annotations

import numpy as np

from neuralvdb.values.lattice.coding import LatticeCells
from neuralvdb.values.lattice.constants import EDGE


def cells_of_leaves(cells: LatticeCells, coords: np.ndarray, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Lattice values and active (B, M) bool of the M cells of each leaf.

    coords: (B, 3) int64, of the leaves, in leaves from the corner of the chunk's box.
    """
    edge = EDGE >> lod
    brick = cells.table[tuple((coords >> lod).T)]
    first = coords % (1 << lod) * edge
    x, y, z = np.moveaxis(first[:, None] + np.stack(np.unravel_index(np.arange(edge**3), (edge,) * 3), 1), -1, 0)
    offset = x * EDGE**2 + y * EDGE + z
    active, coded = np.zeros(offset.shape, bool), brick < len(cells.coded)
    active[coded] = cells.coded[brick[coded][:, None], offset[coded]] != 0
    return cells.values[brick[:, None], offset], active


def cell_of(voxel: np.ndarray, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells (n,) in which voxels (n,) of leaves are, and (n,) bool, whether a voxel is its cell's first."""
    x, y, z = np.unravel_index(voxel, (EDGE,) * 3)
    edge, within = EDGE >> lod, (1 << lod) - 1
    return (x >> lod) * edge**2 + (y >> lod) * edge + (z >> lod), ((x | y | z) & within) == 0
