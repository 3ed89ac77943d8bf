"""Flat images of trees, (height, width) of a window, without a dense copy: leaf by leaf, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.view.window import Window, active_tiles
from neuralvdb.volume import Tree, leaf_origins
from neuralvdb.volume.grid import lower_origins, unpack
from neuralvdb.volume.lookup import constants_at, distinct, find

_BATCH = 1 << 14  # leaves at once
_PIXELS = 1 << 20  # at once, that tiles touch
_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1  # coordinates


@dataclass(frozen=True)
class _Columns:
    """Values seen one behind another. pixels: (K,); values: (K, D) magnitudes or scalars; active: (K, D) bool.

    length: voxels that a value stands for along the axis; share: (K,) or one, of the pixel that the column takes.
    """

    pixels: np.ndarray
    values: np.ndarray
    active: np.ndarray
    length: int
    share: np.ndarray | float


def slice_image(tree: Tree, window: Window) -> np.ndarray:
    """The middle slice, inactive values too; of vectors the magnitude."""
    return _scalars(values_at(tree, window.slice_points()), 1).reshape(window.shape)


def sums_image(tree: Tree, window: Window) -> np.ndarray:
    """The sums of what is active and above 0 along the axis, means where voxels lie side by side in a pixel."""
    height, width = window.shape
    image = np.zeros(height * width)
    for columns in _columns(tree, window):
        light = np.where(columns.active & (columns.values > 0) & np.isfinite(columns.values), columns.values, 0)
        weights = light.sum(1, dtype=np.float64) * columns.length * columns.share
        image += np.bincount(columns.pixels, weights, minlength=len(image))
    return image.reshape(window.shape)


def largest_image(tree: Tree, window: Window) -> np.ndarray:
    """The largest finite magnitude that is active along the axis; 0 where there is none."""
    height, width = window.shape
    image = np.zeros(height * width)
    for columns in _columns(tree, window):
        sizes = np.where(columns.active & np.isfinite(columns.values), np.abs(columns.values), 0).max(1)
        np.maximum.at(image, columns.pixels, sizes)
    return image.reshape(window.shape)


def surface_image(tree: Tree, window: Window) -> np.ndarray:
    """The surface of a level set lit from the eye: 1 where it faces it, 0 where it is seen edge-on, NaN beside it."""
    pixels, points = _front(tree, window)
    steps = np.stack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])  # (2, 3, 3)
    samples = values_at(tree, (points[:, None, None] + steps).reshape(-1, 3)).reshape(len(points), 2, 3)
    gradient = np.nan_to_num(samples[:, 0] - samples[:, 1], posinf=0, neginf=0)
    length = np.maximum(np.linalg.norm(gradient, axis=1), np.finfo(np.float64).tiny)
    height, width = window.shape
    image = np.full(height * width, np.nan)
    image[pixels] = (gradient[:, window.axis] * window.towards / length).clip(0, 1)
    return image.reshape(window.shape)


def values_at(tree: Tree, points: np.ndarray) -> np.ndarray:
    """Values (M, C) float64 of the voxels at `points` (M, 3), whether a leaf is there, a tile or the background."""
    points = points.clip(_LOWEST, _HIGHEST)
    corners = points // 8 * 8
    first, number = distinct(corners)
    bricks = corners[first].astype(np.int32)
    constants, _ = constants_at(tree, bricks, lower_origins(tree))
    values: np.ndarray = constants.astype(np.float64)[number]
    leaf = find(leaf_origins(tree), bricks)[number]
    x, y, z = (points - corners).T
    within = leaf >= 0
    offsets = (x * 64 + y * 8 + z)[within]
    values[within] = tree.leaf.values[leaf[within], offsets].reshape(len(offsets), values.shape[1])
    return values


def _scalars(values: np.ndarray, ndim: int) -> np.ndarray:
    """float64 of `ndim` axes: scalars as they are, vectors (one more axis) by their magnitude."""
    values = values.astype(np.float64)
    if values.ndim > ndim and values.shape[-1] == 1:
        values = values[..., 0]
    magnitudes: np.ndarray = values if values.ndim == ndim else np.linalg.norm(values, axis=-1)
    return magnitudes


def _columns(tree: Tree, window: Window) -> Iterator[_Columns]:
    """All that is active."""
    steps = np.arange(8)
    origins = leaf_origins(tree).astype(np.int64)
    for batch in _leaf_batches(tree):
        x, up = (origins[batch, axis, None, None] for axis in (0, window.up))
        pixels = window.pixels(x + steps[None, :, None], up + steps[None, None, :])
        values, active = _leaf_columns(tree, batch, window)
        yield _Columns(pixels.reshape(-1), values, active, 1, 1 / window.stride**2)
    for boxes in active_tiles(tree):
        yield from _tile_columns(boxes.origins.astype(np.int64), boxes.edge, _scalars(boxes.values, 1), window)


def _leaf_batches(tree: Tree) -> Iterator[np.ndarray]:
    """Indices of the leaves with active voxels; others may lie beside the window."""
    leaves = np.flatnonzero(tree.leaf.active.any(1))
    yield from (leaves[i : i + _BATCH] for i in range(0, len(leaves), _BATCH))


def _leaf_columns(tree: Tree, batch: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Values and active states (leaves * 64, 8) of leaves: columns by x and the axis up, in them from low to high."""
    values = _scalars(tree.leaf.values[batch], 2).reshape(-1, 8, 8, 8)
    active = unpack(tree.leaf.active[batch]).reshape(-1, 8, 8, 8)
    order = (0, 1, 1 + window.up, 1 + window.axis)
    return values.transpose(order).reshape(-1, 8), active.transpose(order).reshape(-1, 8)


def _tile_columns(origins: np.ndarray, edge: int, values: np.ndarray, window: Window) -> Iterator[_Columns]:
    """Tiles (M) of `edge` voxels, in batches: a column for each pixel that one touches."""
    count = edge // window.stride + 2  # pixels along an edge, at most
    batch = max(1, _PIXELS // count**2)
    for i in range(0, len(origins), batch):
        piece = slice(i, i + batch)
        first = [(origins[piece, axis] - window.low[axis]) // window.stride for axis in (0, window.up)]
        last = [(origins[piece, axis] + edge - 1 - window.low[axis]) // window.stride for axis in (0, window.up)]
        x, up = first[0][:, None, None] + np.arange(count)[:, None], first[1][:, None, None] + np.arange(count)
        touched = (x <= last[0][:, None, None]) & (up <= last[1][:, None, None])
        tile = np.nonzero(touched)[0]
        x, up = (np.broadcast_to(at, touched.shape)[touched] * window.stride for at in (x, up))
        pixels = window.pixels(x + window.low[0], up + window.low[window.up])
        share = (edge / window.stride) ** 2 / touched.sum((1, 2))
        constants = values[piece][tile, None]
        yield _Columns(pixels, constants, np.ones(constants.shape, bool), edge, share[tile])


def _front(tree: Tree, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (K,) that see a voxel below 0 in a leaf, and the nearest one (K, 3)."""
    height, width = window.shape
    nearest = np.full(height * width, np.iinfo(np.int64).min)
    points = np.zeros((height * width, 3), np.int64)
    origins, steps = leaf_origins(tree).astype(np.int64), np.arange(8)
    for batch in _leaf_batches(tree):
        values, active = _leaf_columns(tree, batch, window)
        below = active & (values < 0)
        column = np.flatnonzero(below.any(1))
        leaf, x, up = np.unravel_index(column, (len(values) // 64, 8, 8))
        step = 7 - below[column, ::-1].argmax(1) if window.towards > 0 else below[column].argmax(1)
        at = origins[batch[leaf]]
        at[:, 0] += steps[x]
        at[:, window.up] += steps[up]
        at[:, window.axis] += step
        depth, pixels = at[:, window.axis] * window.towards, window.pixels(at[:, 0], at[:, window.up])
        nearer = np.flatnonzero(depth > nearest[pixels])
        nearer = nearer[np.argsort(depth[nearer], kind="stable")]  # of several in a pixel the last one stays
        nearest[pixels[nearer]], points[pixels[nearer]] = depth[nearer], at[nearer]
    pixels = np.flatnonzero(nearest > np.iinfo(np.int64).min)
    return pixels, points[pixels]
