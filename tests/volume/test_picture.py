"""Sums along rays and T-PSNR against dense boxes, without one where a grid is as wide as index space."""

import importlib.util
import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb import picture
from neuralvdb.metrics import median, quantile
from neuralvdb.vdb import VdbReader, from_dense
from neuralvdb.volume import Tree, _leaves, leaf_origins
from neuralvdb.volume.lookup import bricks_at


def _load_measures():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "measures.py"
    spec = importlib.util.spec_from_file_location("picture_measures", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


measures = _load_measures()


def cloud(size=(40, 24, 30), origin=(-13, 5, 700)) -> Tree:
    """A rough ball, thin at its rim; a third of the voxels within it are inactive and hold what nobody sees."""
    random = np.random.default_rng(3)
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij"))
    values = np.maximum(0, 1 - (x**2).sum(0)) * random.random(size)
    return from_dense(
        values.astype(np.float32), name="density", active=(values > 0) & (random.random(size) < 0.7), origin=origin
    ).tree


def with_noise(tree: Tree, scale: float) -> Tree:
    """The tree with errors that are as large as its values times the scale, some of them below zero."""
    values = tree.leaf.values
    noisy = values * (1 + scale * np.random.default_rng(4).standard_normal(values.shape))
    return replace(tree, leaf=replace(tree.leaf, values=noisy.astype(values.dtype)))


def dense(tree: Tree, low, high) -> tuple[np.ndarray, np.ndarray]:
    """Values and active flags of a box from `low` to before `high`, multiples of 8."""
    low, cells = np.asarray(low), (np.asarray(high) - low) // 8
    at = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), -1).reshape(-1, 3) * 8 + low
    values, active = bricks_at(tree, at.astype(np.int32))
    return tuple(
        bricks.reshape(*cells, 8, 8, 8).transpose(0, 3, 1, 4, 2, 5).reshape(cells * 8)
        for bricks in (values[..., 0], active)
    )


def leaf_box(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the box of all leaves."""
    origins = leaf_origins(tree)
    return origins.min(0), origins.max(0) + 8


@pytest.mark.parametrize("scale", [0.02, 0.3, 3.0])
def test_t_psnr_is_that_of_dense_images(scale):
    tree = cloud()
    decoded = with_noise(tree, scale)
    (v, m), (r, _) = dense(tree, *leaf_box(tree)), dense(decoded, *leaf_box(tree))
    depths = (1, 8, 50)
    assert [picture.t_psnr(tree, decoded, depth) for depth in depths] == pytest.approx(measures.t_psnr(v, r, m, depths))


def test_t_psnr_of_real_fog(data):
    grids = VdbReader(data / "sequence-blender-24grids" / "fluid_data_0010.vdb")
    tree = next(grid.tree for grid in grids if grid.name == "density")
    decoded = with_noise(tree, 0.2)
    (v, m), (r, _) = dense(tree, *leaf_box(tree)), dense(decoded, *leaf_box(tree))
    assert picture.t_psnr(tree, decoded) == pytest.approx(measures.t_psnr(v, r, m, (8,))[0])


def test_active_tiles_add_to_the_rays_that_meet_leaves():
    tree = cloud(origin=(0, 0, 0))
    slot = (5 << 8) + (1 << 4) + 2  # of the lower node: voxels 40 to 47, 8 to 15, 16 to 23
    tree.lower.active[0, slot // 8] |= 1 << slot % 8
    tree.lower.values[0, slot] = 0.25
    slot = (1 << 10) + 0 + 0  # of the upper node: 128 to 255, 0 to 127, 0 to 127
    tree.upper.active[0, slot // 8] |= 1 << slot % 8
    tree.upper.values[0, slot] = 0.5
    tree.upper.values[0, slot + 1] = 9  # inactive
    values, active = dense(tree, (0, 0, 0), (256, 24, 32))
    shown = np.where(active, values, 0).astype(np.float64)
    assert {0.25, 0.5} < set(shown.reshape(-1)) and shown.max() < 9
    for axis, image in enumerate(picture.ray_sums(tree)):
        expected = shown.sum(axis)
        columns = {tuple(np.delete(origin, axis)) for origin in leaf_origins(tree).tolist()}
        assert {tuple(origin) for origin in image.origins.tolist()} == columns
        for (first, second), sums in zip(image.origins, image.sums, strict=True):
            np.testing.assert_allclose(sums, expected[first : first + 8, second : second + 8])


def test_a_root_tile_adds_4096_voxels():
    tree = cloud(origin=(0, 0, 0))
    before = picture.ray_sums(tree)
    tree.root.tile_origins = np.array([[0, 4096, 0], [4096, 0, 0]], np.int32)
    tree.root.tile_values, tree.root.tile_active = np.array([0.5, 7], np.float32), np.array([1, 0], np.uint8)
    after = picture.ray_sums(tree)
    assert [float(np.ptp(b.sums - a.sums)) for a, b in zip(before, after, strict=True)] == pytest.approx([0] * 3)
    assert [float((b.sums - a.sums).max()) for a, b in zip(before, after, strict=True)] == pytest.approx([0, 2048, 0])


def test_grids_as_wide_as_index_space_make_small_images():
    left, right = (cloud((8, 8, 8), (corner,) * 3) for corner in (-(1 << 31), (1 << 31) - 8))
    apart = replace(
        left,
        root=replace(left.root, child_origins=np.concatenate([left.root.child_origins, right.root.child_origins])),
        **{
            name: type(getattr(left, name))(
                **{
                    key: np.concatenate([getattr(getattr(tree, name), key) for tree in (left, right)])
                    for key in getattr(left, name).__dataclass_fields__
                }
            )
            for name in ("upper", "lower", "leaf")
        },
    )
    images = picture.ray_sums(apart)
    assert [image.origins.tolist() for image in images] == [[[-(1 << 31)] * 2, [(1 << 31) - 8] * 2]] * 3
    assert picture.t_psnr(apart, apart) == pytest.approx(120)
    assert 10 < picture.t_psnr(apart, with_noise(apart, 0.3)) < 60


def test_leaves_that_only_one_grid_has_are_seen():
    tree, other = cloud(origin=(0, 0, 0)), cloud(origin=(8, 0, 0))
    low, high = (0, 0, 0), (48, 24, 32)
    (v, m), (r, on) = dense(tree, low, high), dense(other, low, high)
    shown = np.where(on, r, 0)
    assert picture.t_psnr(tree, other) == pytest.approx(measures.t_psnr(np.where(m, v, 0), shown, m | on, (8,))[0])


def test_what_is_not_finite_or_below_zero_is_not_seen():
    tree = cloud()
    strange = with_noise(tree, 0)
    for position, value in enumerate((np.nan, np.inf, -np.inf, -5)):
        tree.leaf.values[0, position * 9] = 0
        strange.leaf.values[0, position * 9] = value
    assert picture.t_psnr(strange, tree) == pytest.approx(120) == picture.t_psnr(tree, strange)


def test_where_nothing_is_to_be_seen_there_is_no_picture():
    tree = cloud()
    nothing = replace(tree, leaf=replace(tree.leaf, values=np.zeros_like(tree.leaf.values)))
    no_leaves = replace(tree, leaf=replace(tree.leaf, active=np.zeros_like(tree.leaf.active)))
    assert picture.t_psnr(nothing, tree) is None and picture.t_psnr(no_leaves, tree) is None
    assert 0 < picture.t_psnr(tree, nothing) < 10
    huge = replace(tree, leaf=replace(tree.leaf, values=np.full(tree.leaf.values.shape, 1e308)))
    assert picture.t_psnr(huge, huge) is None


def test_errors_of_voxels_and_of_means():
    tree = cloud()
    decoded = with_noise(tree, 0.3)
    low, high = leaf_box(tree)
    (v, m), (r, _) = dense(tree, low, high), dense(decoded, low, high)
    error = np.where(m, r.astype(np.float64) - v, 0)
    blocks = [
        error[x : x + 4, y : y + 4, z : z + 4].mean()
        for x in range(0, error.shape[0], 4)
        for y in range(0, error.shape[1], 4)
        for z in range(0, error.shape[2], 4)
    ]
    errors = picture.value_errors(tree.leaf, decoded.leaf)
    assert errors.voxel == np.abs(error).max()
    assert errors.mean == pytest.approx(np.abs(blocks).max())
    decoded.leaf.values[~np.unpackbits(tree.leaf.active, axis=1, bitorder="little").view(bool)] = 1e9
    assert picture.value_errors(tree.leaf, decoded.leaf) == errors
    for values in (tree.leaf.values, decoded.leaf.values):
        values[0, :3] = np.nan, np.inf, -np.inf
    assert math.isfinite(picture.value_errors(tree.leaf, decoded.leaf).voxel)


def test_extinction_makes_the_median_ray_as_deep_as_asked():
    rng = np.random.default_rng(5)
    for count in (1, 2, 3, 4, 101, 256):
        sums = rng.random(count) + 0.5
        assert picture.extinction(sums, 3.0) == 3.0 / np.median(sums), count


def test_medians_and_quantiles_are_those_of_numpy():
    random = np.random.default_rng(1)
    for count, dtype in itertools.product([1, 2, 3, 4, 10, 11, 1000], (np.float32, np.float64)):
        values = random.random(count).astype(dtype)
        assert median(values) == float(np.median(values))
        for share in (0.0, 0.1, 0.5, 0.77, 0.9, 1.0):
            assert quantile(values, share) == float(np.quantile(values, share)), (count, dtype, share)
    assert np.isnan(quantile(np.array([1, np.nan, 2]), 0.5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_and_errors_of_the_definition(dtype):
    """Bit by bit, with values that nobody sees, tiles, and leaves that have other values."""
    tree = cloud()
    values = tree.leaf.values.astype(dtype)
    values[0, :6] = np.nan, np.inf, -np.inf, -1, -0.0, 1e-40
    values[1, :2] = np.array([1e39, 1e38]).astype(np.float64) if dtype is np.float64 else [3e38, 1e38]
    tree = replace(tree, leaf=replace(tree.leaf, values=values))
    tree.lower.active[0, 3], tree.lower.values[0, 24:32] = 255, 0.1
    leaves = np.array([0, 5, 6])
    replacement = picture.Replacement(leaves, np.random.default_rng(5).random((3, 512)).astype(dtype))
    for instead in (None, replacement):
        images = [picture.ray_sums(tree, instead, name) for name in ("reference", "native")]
        for slow, fast in zip(*images, strict=True):
            np.testing.assert_array_equal(slow.tiles, fast.tiles)
            np.testing.assert_array_equal(slow.sums, fast.sums)
    decoded = with_noise(tree, 0.3).leaf
    decoded.values[2, :2] = np.nan, np.inf
    slow, fast = (picture.value_errors(tree.leaf, decoded, name) for name in ("reference", "native"))
    assert slow == fast and (slow.voxel == np.inf) == bool(tree.leaf.active[2, 0] & 2)


def test_threads_sum_and_compare_leaves_as_one_does():
    """With more leaves than are summed at once, some of which have other values."""
    tree = cloud((120, 120, 120))
    leaves = np.arange(0, len(tree.leaf), 3)
    instead = picture.Replacement(leaves, np.ascontiguousarray(tree.leaf.values[leaves[::-1]]))
    decoded = with_noise(tree, 0.3).leaf
    sums, errors = picture.ray_sums(tree, instead), picture.value_errors(tree.leaf, decoded)
    for threads in (2, 3):
        for image, shared in zip(sums, picture.ray_sums(tree, instead, threads=threads), strict=True):
            np.testing.assert_array_equal(image.sums, shared.sums)
        assert picture.value_errors(tree.leaf, decoded, threads=threads) == errors


def test_of_sums_no_tile_is_written_that_is_not_there():
    tree, sums = cloud(), np.zeros((2, 8, 8))
    good, bad = np.zeros(len(tree.leaf), np.int64), np.full(len(tree.leaf), 2)
    for wrong in (bad, bad - 3, good[1:]):
        with pytest.raises(ValueError):
            _leaves.add_rays(tree.leaf.values, tree.leaf.active, None, ((good, sums), (wrong, sums), (good, sums)), 1)
    with pytest.raises(ValueError):
        beyond = bad, tree.leaf.values[:2]
        _leaves.add_rays(tree.leaf.values, tree.leaf.active, beyond, ((good, sums),) * 3, 1)
    assert not sums.any()
