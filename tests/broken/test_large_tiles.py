"""Tiles cost what their number costs, however many voxels they cover."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import InnerLevel, LeafLevel, Tree


def of_tiles(upper: np.ndarray, root: np.ndarray, off: int = 0) -> VolumeGrid:
    """A grid of active tiles of 128 voxels in all of the nodes at `upper` (U, 3), all but the first `off` of the first
    node, and of tiles of 4096 voxels at `root` (T, 3)."""
    active_voxel = np.ones((1, 1, 1), bool)
    grid = from_dense(active_voxel.astype(np.float32), name="haze", active=active_voxel)
    count, tiles = len(upper), len(root)
    active = np.ones((count, 32768), bool)
    active[:1, :off] = False
    lower, leaf = grid.tree.lower, grid.tree.leaf
    tree = Tree(
        replace(
            grid.tree.root,
            child_origins=(upper * 4096).astype(np.int32).reshape(-1, 3),
            tile_origins=(root * 4096).astype(np.int32).reshape(-1, 3),
            tile_active=np.ones(tiles, np.uint8),
            tile_values=np.ones(tiles, np.float32),
        ),
        InnerLevel(
            np.zeros((count, 4096), np.uint8),
            np.packbits(active, axis=1, bitorder="little"),
            active.astype(np.float32),
        ),
        InnerLevel(lower.child[:0], lower.active[:0], lower.values[:0]),
        LeafLevel(leaf.active[:0], leaf.values[:0]),
    )
    return replace(grid, tree=tree)


def cube(edge: int) -> np.ndarray:
    """All places (edge**3, 3) of a cube."""
    return np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


NOTHING = np.zeros((0, 3), int)
HAZE = {
    "upper nodes": lambda: of_tiles(cube(4)[:15], NOTHING),
    "root tiles": lambda: of_tiles(NOTHING, cube(32)),
    "both": lambda: of_tiles(cube(2), cube(4)[cube(4).max(1) > 1]),
}


@pytest.mark.parametrize("lod", [1, 2, 3])
@pytest.mark.parametrize("name", HAZE)
def test_levels_of_detail(within_limits, tmp_path: Path, name: str, lod: int):
    """Eight equal tiles become one of the next level: it takes no more nodes than the grid has."""
    grid = HAZE[name]()
    write_vdb(tmp_path / "a.vdb", [grid])
    within_limits("compress", "a.vdb", codes={0})
    within_limits("decompress", "a.neuralvdb", "--lod", lod, "-o", "b.vdb", codes={0})
    full, coarse = (VdbReader(tmp_path / file).outline(0) for file in ("a.vdb", "b.vdb"))
    assert coarse.active_voxels == full.active_voxels >> 3 * lod
    assert coarse.active_tiles <= full.active_tiles and coarse.leaves == 0


@pytest.mark.parametrize("lod", [1, 2, 3])
def test_a_box_costs_what_is_in_it(within_limits, tmp_path: Path, lod: int):
    """Root tiles that stand alone would take a node each at a coarser level."""
    write_vdb(tmp_path / "a.vdb", [of_tiles(NOTHING, cube(17) * 2)])
    within_limits("compress", "a.vdb", codes={0})
    box = "-3,-3,-3,7,7,7"
    within_limits("decompress", "a.neuralvdb", "--lod", lod, "--bbox", box, "-o", "b.vdb", codes={0})
    assert VdbReader(tmp_path / "b.vdb").outline(0).active_voxels == 8**3 >> 3 * lod


def test_differences(within_limits, tmp_path: Path):
    write_vdb(tmp_path / "a.vdb", [of_tiles(cube(3), cube(8)[400:])])
    write_vdb(tmp_path / "b.vdb", [of_tiles(cube(3), cube(8)[400:], off=1)])
    within_limits("diff", "a.vdb", "b.vdb", codes={10})
