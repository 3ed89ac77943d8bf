"""Flat images of trees are what NumPy makes of the dense array; huge sparse grids stay small."""

import numpy as np
import pytest

from neuralvdb.vdb import GridProperties, from_dense
from neuralvdb.view.project import largest_image, slice_image, sums_image, surface_image, values_at
from neuralvdb.view.window import MOST_PIXELS, Window, window_of

ORIGIN = (-13, 5, -40)


def scattered(shape=(20, 30, 17), components=()):
    """Values around 0 and active states."""
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (*shape, *components)).astype(np.float32), rng.random(shape) < 0.3


def tree_of(values, active, origin=ORIGIN):
    return from_dense(values, name="a", active=active, origin=origin).tree


def padded(dense: np.ndarray, window: Window, origin=ORIGIN) -> np.ndarray:
    """A dense array from `origin` on, as large as the window, zeros beside it."""
    box = np.zeros(np.array(window.high) - window.low + 1)
    box[tuple(slice(o - w, o - w + n) for o, w, n in zip(origin, window.low, dense.shape, strict=True))] = dense
    return box


def as_image(projected: np.ndarray) -> np.ndarray:
    """(x, up) as an image: up from below, x to the right."""
    return projected.T[::-1]


@pytest.mark.parametrize("shape", [(20, 30, 17), (20, 17, 30)], ids=["along z", "along y"])
def test_images_are_those_of_the_dense_array(shape):
    values, active = scattered(shape)
    tree = tree_of(values, active)
    window = window_of(tree)
    assert window.axis == int(np.argmin(shape[1:])) + 1 and window.stride == 1
    dense = padded(np.where(active, values, 0), window)
    assert np.allclose(sums_image(tree, window), as_image(dense.clip(0).sum(window.axis)))
    assert np.allclose(largest_image(tree, window), as_image(np.abs(dense).max(window.axis)))
    everything = padded(values, window).take(window.middle - window.low[window.axis], axis=window.axis)
    leaves = padded(np.ones(shape), window).take(window.middle - window.low[window.axis], axis=window.axis) > 0
    assert np.allclose(slice_image(tree, window)[as_image(leaves)], as_image(everything)[as_image(leaves)])


def test_vectors_are_shown_by_their_magnitude():
    values, active = scattered(components=(3,))
    tree = tree_of(values, active)
    window = window_of(tree)
    sizes = np.linalg.norm(np.where(active[..., None], values, 0), axis=-1)
    assert np.allclose(largest_image(tree, window), as_image(padded(sizes, window).max(window.axis)))
    assert slice_image(tree, window).shape == window.shape


def test_tiles_count_as_the_voxels_they_are():
    """A tile of 8 and a tile of 128 voxels along an edge, the latter of a node that a far voxel makes."""
    values = np.zeros((16, 16, 300), np.float32)
    values[0, 0, 0] = values[15, 15, 299] = 2
    tree = tree_of(values, values > 0, origin=(0, 0, 0))
    tree.lower.active[0, 0] |= 2  # slot 1: z from 8 on
    tree.lower.values[0, 1] = 3
    tree.upper.active[0, 0] |= 2  # slot 1: z from 128 on
    tree.upper.values[0, 1] = 5
    window = window_of(tree)
    assert (window.low, window.high) == ((0, 0, 0), (127, 127, 303))
    dense = np.zeros((128, 128, 304))
    dense[:16, :16, :300] = values
    dense[:8, :8, 8:16], dense[:, :, 128:256] = 3, 5
    assert np.allclose(sums_image(tree, window), as_image(dense.sum(window.axis)))
    assert np.allclose(largest_image(tree, window), as_image(dense.max(window.axis)))


def test_leaves_without_active_voxels_may_lie_beside_the_picture():
    """Blender's caches have them."""
    values = np.ones((8, 8, 24), np.float32)
    tree = tree_of(values, values > 0, origin=(0, 0, 0))
    tree.leaf.active[2] = 0
    window = window_of(tree)
    assert window.shape == (16, 8)
    assert (sums_image(tree, window) == 8).all() and (largest_image(tree, window) == 1).all()
    tree.leaf.values[:] = -1
    assert np.count_nonzero(~np.isnan(surface_image(tree, window))) == 16 * 8


@pytest.mark.parametrize("axis", range(3))
def test_a_huge_sparse_grid_makes_a_small_picture(axis):
    """Two leaves a million voxels apart: at most MOST_PIXELS, and nothing of what they hold is lost."""
    values = np.ones((8, 8, 8), np.float32)
    near = from_dense(values, name="a", active=values > 0)
    far = from_dense(values, name="a", active=values > 0, origin=tuple(1_000_000 * (i == axis) for i in range(3)))
    window = window_of(near.tree, far.tree)
    assert max(window.shape) <= MOST_PIXELS
    for tree in (near.tree, far.tree):
        assert sums_image(tree, window).sum() * window.stride**2 == pytest.approx(512)
        assert np.count_nonzero(largest_image(tree, window)) >= 1


def test_values_are_those_of_leaves_tiles_and_the_background():
    values, active = scattered()
    tree = from_dense(values, name="a", active=active, origin=ORIGIN, background=7).tree
    points = np.argwhere(active) + ORIGIN
    assert np.array_equal(values_at(tree, points)[:, 0], values[active])
    assert (values_at(tree, np.array([[10**9, 0, 0], [-(1 << 31), 0, (1 << 31) - 1]])) == 7).all()


@pytest.mark.parametrize("flat", [1, 2], ids="xyz".__getitem__)
def test_a_sphere_is_a_bright_disc_where_it_is(flat):
    """Lit from the eye a sphere of radius R is sqrt(1 - (r/R)^2) bright at r from its middle, and dark beside it."""
    size = [64, 64, 64]
    size[flat] = 48
    middle, radius = np.array([20, 30, 40]), 14.0
    middle[flat] = 24
    distance = np.linalg.norm(np.moveaxis(np.indices(size), 0, -1) - middle, axis=-1) - radius
    active = np.abs(distance) < 3
    active[-1, -1, -1] = active[0, 0, 0] = True  # so that the window is the whole box
    grid = from_dense(
        distance.clip(-3, 3).astype(np.float32),
        name="a",
        active=active,
        background=3,
        properties=GridProperties(grid_class="level set"),
    )
    window = window_of(grid.tree)
    image = surface_image(grid.tree, window)
    assert window.axis == flat
    x, up = np.meshgrid(np.arange(64), np.arange(64)[::-1])
    r = np.hypot(x - middle[0], up - middle[3 - flat])
    assert np.isnan(image[r > radius + 1]).all()
    disc = r < radius - 2
    assert np.abs(image[disc] - np.sqrt(1 - (r[disc] / radius) ** 2)).max() < 0.1
