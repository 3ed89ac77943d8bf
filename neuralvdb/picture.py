"""What a renderer sees of a scalar grid: its sums along rays, how dark they are, and by how much two grids differ so.

A grid may be 2**31 voxels wide, so images are kept as tiles of 8x8 rays, those that leaves project to, and nothing here
is as large as a box. Values below zero count as zero, as in a renderer, and so do values that are no finite
float32. Letters in shapes: N leaves, T tiles of an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import decibels, median
from neuralvdb.volume import _leaves
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
from neuralvdb.volume.lookup import ranked
from neuralvdb.volume.value_ends import Implementation

DEPTH = 8.0  # optical depth of the median ray, at which pictures are judged
BLOCK = 4  # voxels along an axis of the blocks whose means are compared
_LEAST_ERROR = 1e-12  # mean squared error of transmittance at which T-PSNR ends: 120 dB
_THIN = 0.05  # rays with less than this share of the thickest ray do not count for the median
_EDGE = 8  # voxels of a leaf, and rays of an image's tile
_BATCH = 64  # nodes at a time
_TILE_KEY = 32  # bits
_LARGEST = float(np.finfo(np.float32).max)  # what a renderer can hold
_LEAST_SUM = 1e-200  # of a ray; k is finite above it


@dataclass(frozen=True)
class RaySums:
    """Sums of a grid's active values along one axis, for the rays that meet its leaves.

    tiles: (T,) int64 in order, coordinates a and b as a * 2**32 + b; tile (a, b) begins at voxel (8 a, 8 b) of the
        other two axes.
    sums: (T, 8, 8) float64.
    """

    tiles: np.ndarray
    sums: np.ndarray

    @property
    def origins(self) -> np.ndarray:
        """(T, 2) int64: the voxel coordinates of each tile's first ray."""
        first, second = _coordinates(self.tiles)
        return np.stack([first, second], axis=1) * _EDGE

    def at(self, tiles: np.ndarray) -> np.ndarray:
        """(K, 8, 8) float64: the sums of tiles (K,), 0 where there are none."""
        result = np.zeros((len(tiles), _EDGE, _EDGE))
        position = np.searchsorted(self.tiles, tiles)
        has_sums = (
            np.take(self.tiles, position, mode="clip") == tiles if len(self.tiles) else np.zeros(len(tiles), bool)
        )
        result[has_sums] = self.sums[position[has_sums]]
        return result


Sums: TypeAlias = tuple[RaySums, RaySums, RaySums]


@dataclass(frozen=True)
class Replacement:
    """Values that some leaves have in place of their own. leaves: (n,) int64; values: (n, 512)."""

    leaves: np.ndarray
    values: np.ndarray


def ray_sums(
    tree: Tree, replacement: Replacement | None = None, implementation: Implementation = "native", threads: int = 1
) -> Sums:
    """The sums of a scalar tree along axes 0, 1 and 2: those of each leaf, and these leaf by leaf in the tree's order.
    Active tiles of the tree add to the rays that meet leaves."""
    origins = leaf_origins(tree) // _EDGE
    images = [_Image.over(origins, axis) for axis in range(3)]
    if implementation == "native":
        _add_natively(tree.leaf, replacement, images, threads)
    else:
        _add_leaves(tree.leaf, replacement, images)
    for cubes in _active_tiles(tree):
        for axis, image in enumerate(images):
            _add_cubes(image.sums, axis, cubes)
    x, y, z = (image.sums for image in images)
    return x, y, z


def extinction(sums: np.ndarray, depth: float = DEPTH) -> float | None:
    """The factor on an original's sums that gives the median ray this optical depth; None where all is empty.

    Rays with less than a twentieth of the largest sum are left out of the median.
    """
    largest = float(sums.max(initial=0))
    return depth / median(sums[sums > largest * _THIN]) if largest > _LEAST_SUM else None


def t_psnr(original: Tree, decoded: Tree, depth: float = DEPTH) -> float | None:
    """PSNR in dB (peak 1) of the transmittance images of two scalar trees; None where the original has nothing to see.

    An image is exp(-k s), s the sum of active values along a ray; three axes make three images, whose squared errors go
    into one mean over the rays with s > 0. k is set for each axis so that the median ray that meets smoke has the
    optical depth k s asked for. At most 120 dB. After Beer and Lambert.
    """
    return t_psnr_of(ray_sums(original), ray_sums(decoded), depth)


def measured_t_psnr(original: Tree, decoded: Tree) -> float | None:
    """t_psnr() in whole hundredths of a dB, rounded down, which machines agree on."""
    return measured_t_psnr_of(ray_sums(original), ray_sums(decoded))


def measured_t_psnr_of(original: Sums, decoded: Sums) -> float | None:
    """measured_t_psnr() of two trees by their sums."""
    exact = t_psnr_of(original, decoded)
    return None if exact is None else math.floor(exact * 100) / 100


def t_psnr_of(original: Sums, decoded: Sums, depth: float = DEPTH) -> float | None:
    """t_psnr() of two trees by their sums."""
    error, rays = 0.0, 0
    for before, after in zip(original, decoded, strict=True):
        factor = extinction(before.sums, depth)
        if factor is None:
            return None
        tiles = np.concatenate([before.tiles, after.tiles])
        tiles = tiles[ranked(tiles)[0]]
        a, b = before.at(tiles), after.at(tiles)
        error += float(((np.exp(-factor * a) - np.exp(-factor * b)) ** 2).sum())
        rays += int((a > 0).sum())
    return decibels(1.0, error / rays + _LEAST_ERROR)


@dataclass(frozen=True)
class TileSample:
    """Tiles of an image, and how many each stands for. tiles: (m,) int64, their numbers; weights: (m,) float64."""

    tiles: np.ndarray
    weights: np.ndarray


def estimated_t_psnr(original: Sums, decoded: Sums, samples: Sequence[TileSample]) -> float | None:
    """t_psnr() of two trees with the same leaves by their sums in some tiles of each image."""
    error, rays = 0.0, 0
    for before, after, sample in zip(original, decoded, samples, strict=True):
        factor = extinction(before.sums)
        if factor is None:
            return None
        a, b = before.sums[sample.tiles], after.sums[sample.tiles]
        squares = ((np.exp(-factor * a) - np.exp(-factor * b)) ** 2).sum((1, 2))
        error += float((squares * sample.weights).sum())
        rays += int((before.sums > 0).sum())
    return decibels(1.0, error / rays + _LEAST_ERROR)


def squared_error(t_psnr: float) -> float:
    """The mean squared error of transmittance at a T-PSNR in dB."""
    return float(10 ** (-t_psnr / 10) - _LEAST_ERROR)


def ray_tiles(tree: Tree) -> list[np.ndarray]:
    """(N,) int64 for each axis: to which tile of the sums along it each leaf projects."""
    origins = leaf_origins(tree) // _EDGE
    return [_Image.over(origins, axis).tile_of for axis in range(3)]


@dataclass(frozen=True, kw_only=True)
class ValueErrors:
    """How far values are off, in the grid's values.

    voxel: the largest error of one active voxel.
    mean: the largest error of the mean over a block of 4x4x4 voxels of a leaf, inactive ones being 0.
    """

    voxel: float
    mean: float


def value_errors(
    original: LeafLevel, decoded: LeafLevel, implementation: Implementation = "native", threads: int = 1
) -> ValueErrors:
    """The errors of leaves with the same active voxels and one component. What was not finite counts as no error, and
    neither does what is no number."""
    if implementation == "native":
        voxel, mean = _leaves.value_errors(original.values, decoded.values, original.active, threads)
        return ValueErrors(voxel=voxel, mean=mean)
    with np.errstate(invalid="ignore", over="ignore"):
        error = decoded.values.astype(np.float64) - original.values
        error[~unpack(original.active) | ~np.isfinite(original.values)] = 0
        half = _EDGE // BLOCK
        blocks = (error / BLOCK**3).reshape(-1, half, BLOCK, half, BLOCK, half, BLOCK)
        means = blocks.sum(2).sum(3).sum(4)
    largest = (float(np.fmax.reduce(np.abs(errors), axis=None, initial=0)) for errors in (error, means))
    return ValueErrors(voxel=next(largest), mean=next(largest))


@dataclass(frozen=True)
class _Image:
    """The sums of an image, and the number (N,) int64 of the tile that each leaf projects to."""

    sums: RaySums
    tile_of: np.ndarray

    @classmethod
    def over(cls, origins: np.ndarray, axis: int) -> _Image:
        """The image along an axis, empty, of leaves at origins (N, 3), in units of leaves."""
        keys = _keys(origins, axis)
        first, tile_of = ranked(keys)
        return cls(RaySums(keys[first], np.zeros((len(first), _EDGE, _EDGE))), tile_of)


def _add_natively(leaf: LeafLevel, replacement: Replacement | None, images: Sequence[_Image], threads: int) -> None:
    """Twin of _add_leaves()."""
    instead = None
    if replacement is not None:
        row_of = np.full(len(leaf), -1)
        row_of[replacement.leaves] = np.arange(len(replacement.leaves))
        instead = row_of, replacement.values
    x, y, z = ((image.tile_of, image.sums.sums) for image in images)
    _leaves.add_rays(leaf.values, leaf.active, instead, (x, y, z), threads)


def _add_leaves(leaf: LeafLevel, replacement: Replacement | None, images: Sequence[_Image]) -> None:
    """Adds the sums of leaves to their tiles."""
    values = leaf.values.copy()
    if replacement is not None:
        values[replacement.leaves] = replacement.values
    for image, sums in zip(images, leaf_sums(LeafLevel(leaf.active, values)), strict=True):
        np.add.at(image.sums.sums, image.tile_of, sums)


def leaf_sums(leaf: LeafLevel) -> list[np.ndarray]:
    """(N, 8, 8) float64 for each axis: the sums of the active values of leaves along it, first voxels first."""
    bricks = (visible(leaf.values) * unpack(leaf.active)).reshape(-1, _EDGE, _EDGE, _EDGE)
    return [np.add.accumulate(bricks, axis).take(-1, axis) for axis in (1, 2, 3)]


def visible(values: np.ndarray) -> np.ndarray:
    """Values as float64, 0 where they are negative or no finite float32."""
    with np.errstate(invalid="ignore"):
        in_view = values.astype(np.float64)
        in_view[~((in_view >= 0) & (in_view <= _LARGEST))] = 0
    return in_view


@dataclass(frozen=True)
class _Cubes:
    """Active tiles of a tree. origins: (M, 3) in leaves; values: (M,) float64; log2: of their edge in leaves."""

    origins: np.ndarray
    values: np.ndarray
    log2: int


def _active_tiles(tree: Tree) -> Iterator[_Cubes]:
    """The active tiles of all levels, some nodes at a time."""
    root = tree.root
    active = root.tile_active != 0
    yield _Cubes(root.tile_origins[active] // _EDGE, visible(root.tile_values[active]), 9)
    for level, origins, log2dim, log2 in (
        (tree.upper, root.child_origins, UPPER_LOG2, 4),
        (tree.lower, lower_origins(tree), LOWER_LOG2, 0),
    ):
        nodes = np.flatnonzero(level.active.any(1))
        for begin in range(0, len(nodes), _BATCH):
            yield _tiles_of(level, nodes[begin : begin + _BATCH], origins, (log2dim, log2))


def _tiles_of(level: InnerLevel, nodes: np.ndarray, origins: np.ndarray, log2: tuple[int, int]) -> _Cubes:
    """The active tiles of some nodes of a level; log2: of a node's slots along an axis, of a slot's edge in leaves."""
    active = level.active[nodes]
    tile_origins = child_origins(origins[nodes], active, log2[0], _EDGE << log2[1])
    return _Cubes(tile_origins // _EDGE, visible(level.values[nodes][unpack(active)]), log2[1])


def _add_cubes(image: RaySums, axis: int, cubes: _Cubes) -> None:
    """Adds active tiles to the rays of an image."""
    keys = _keys(cubes.origins >> cubes.log2, axis)
    distinct_at, number = ranked(keys)
    columns = keys[distinct_at]
    if not len(columns):
        return
    thickness = np.bincount(number, cubes.values) * (_EDGE << cubes.log2)
    first, second = _coordinates(image.tiles)
    below = _joined(first >> cubes.log2, second >> cubes.log2)
    position = np.minimum(np.searchsorted(columns, below), len(columns) - 1)
    sums = image.sums
    sums += np.where(columns[position] == below, thickness[position], 0.0)[:, None, None]


def _keys(origins: np.ndarray, axis: int) -> np.ndarray:
    """(n,) int64: which tile of the image along an axis cells (n, 3) project to."""
    first, second = (other for other in range(3) if other != axis)
    return _joined(origins[:, first].astype(np.int64), origins[:, second].astype(np.int64))


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    keys: np.ndarray = (first << _TILE_KEY) + second
    return keys


def _coordinates(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What _joined() joined."""
    first = (keys + (1 << _TILE_KEY - 1)) >> _TILE_KEY
    return first, keys - (first << _TILE_KEY)
