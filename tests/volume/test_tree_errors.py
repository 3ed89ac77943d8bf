"""Errors between trees are those of their voxels, whether tiles or leaves hold them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.api.tree_errors import errors_between
from neuralvdb.vdb import from_dense
from neuralvdb.volume.grid import InnerLevel, LeafLevel, Root, Tree, unpack
from neuralvdb.volume.lookup import bricks_at

EDGE = 136  # voxels: a tile of 128 and a brick beyond it


def blob(seed: int, origin: tuple[int, int, int], components: int) -> Tree:
    """Leaves in a box of 13 voxels, a tile of 8 voxels beside them, a background other than 0."""
    rng = np.random.default_rng(seed)
    shape = (13, 13, 13)
    values = rng.normal(2, 1, (*shape, components) if components > 1 else shape).astype(np.float32)
    tree = from_dense(values, name="g", active=rng.random(shape) < 0.5, background=0.25, origin=origin).tree
    active, tiles = unpack(tree.lower.active).copy(), tree.lower.values.copy()
    active[0, 4095] = True
    tiles[0, 4095] = 7
    return replace(tree, lower=InnerLevel(tree.lower.child, np.packbits(active, axis=1, bitorder="little"), tiles))


def tile_of_128(value: float, components: int) -> Tree:
    """One active tile of 128 voxels at the origin and nothing else."""
    tree = blob(0, (0, 0, 0), components)
    active, values = np.zeros((1, 32768), bool), np.full_like(tree.upper.values, tree.root.background)
    active[0, 0], values[0, 0] = True, value
    nothing = np.zeros((1, 4096), np.uint8)
    upper = InnerLevel(nothing, np.packbits(active, axis=1, bitorder="little"), values)
    lower = InnerLevel(*(array[:0] for array in (tree.lower.child, tree.lower.active, tree.lower.values)))
    return replace(tree, upper=upper, lower=lower, leaf=LeafLevel(tree.leaf.active[:0], tree.leaf.values[:0]))


def of_root(value: float, components: int) -> Tree:
    """One active tile of the root at the origin and nothing else."""
    tree = tile_of_128(0, components)
    tail = tree.root.tile_values.shape[1:]
    root = Root(
        background=tree.root.background,
        child_origins=np.zeros((0, 3), np.int32),
        tile_origins=np.zeros((1, 3), np.int32),
        tile_active=np.ones(1, np.uint8),
        tile_values=np.full((1, *tail), value, np.float32),
    )
    upper = InnerLevel(*(array[:0] for array in (tree.upper.child, tree.upper.active, tree.upper.values)))
    return replace(tree, root=root, upper=upper)


def by_voxels(a: Tree, b: Tree) -> tuple[list[int], float, float]:
    """Active voxels, maximum error and RMSE within the first EDGE voxels along each axis, one voxel at a time."""
    bricks = np.stack(np.meshgrid(*[np.arange(0, EDGE, 8)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    (x, x_on), (y, y_on) = bricks_at(a, bricks), bricks_at(b, bricks)
    either = x_on | y_on
    error = np.abs(x[either].astype(float) - y[either])
    return [int(x_on.sum()), int(y_on.sum())], float(error.max()), math.sqrt(float((error**2).mean()))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("other", ["leaves elsewhere", "a tile of 128", "the same leaves"])
def test_errors_are_those_of_the_voxels(other, components):
    a = blob(1, (3, 50, 90), components)
    b = {
        "leaves elsewhere": lambda: blob(2, (9, 50, 90), components),
        "a tile of 128": lambda: tile_of_128(1.5, components),
        "the same leaves": lambda: blob(3, (3, 50, 90), components),
    }[other]()
    for first, second in ((a, b), (b, a)):
        sums = errors_between(first, second)
        active, maximum, rmse = by_voxels(first, second)
        assert sums.active == active
        errors = sums.summary()
        assert (errors.maximum, errors.rmse) == (pytest.approx(maximum, rel=1e-12), pytest.approx(rmse, rel=1e-12))


def test_tiles_of_the_root_count_as_their_voxels():
    sums = errors_between(of_root(2.5, 1), tile_of_128(1.5, 1))
    assert sums.active == [4096**3, 128**3]
    share = 128**3 / 4096**3
    mean_square = (1 - share) * 2.25**2 + share * 1.0
    assert sums.summary().maximum == 2.25
    assert sums.summary().rmse == pytest.approx(math.sqrt(mean_square), rel=1e-9)
