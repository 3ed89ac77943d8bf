"""What is promised of a grid, from what the user asks of errors, and whether it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import values
from neuralvdb.codec.frame_table import content_hash
from neuralvdb.codec.pruning import check_pruned
from neuralvdb.metrics import psnr
from neuralvdb.presets import MeanQuality, Preset
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.vdb import describe_transform
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind
from neuralvdb.volume.grid import unpack
from neuralvdb.volume.value_ends import ends_of

if TYPE_CHECKING:
    from neuralvdb.values import Promise

FLAMES = ("temperature", "flame", "fire", "heat", "fuel", "burn", "blackbody", "emission")  # parts of grid names
OUTLIERS = 1e-4  # share of values at either end that do not count for the range that a preset is a share of
_NEGATIVE = 0.01  # share of the range by which fog may be negative and still be something that a renderer shades


def promise_for(grid: VolumeGrid, settings: CompressSettings) -> Promise | None:
    """The promise for a grid, None where it stays lossless: nothing is asked of it, or it has no range to speak of.

    Of the bounds that name the grid the last one holds, else the preset. An absolute bound is in the grid's values, for
    level sets in voxels; a relative one is a share of the range of finite active values, of all components together.
    A grid whose values differ by less than its bound stays lossless.
    """
    wanted = [b for b in settings.bounds if b.grid in ("", grid.name, grid.name.partition("[")[0])]
    if grid.tree is None or not len(grid.tree.leaf) or not (wanted or settings.preset != Preset()):
        return None
    kind = field_kind(grid)
    if not wanted and kind is FieldKind.FOG:
        preset = settings.preset
        return preset_promise(grid, preset.flame if _is_flame(grid.name) else preset.fog, settings.threads)
    bound = wanted[-1] if wanted else _preset_bound(settings.preset, kind)
    if bound.decibels:
        return _psnr_promise(grid, kind, bound.value, settings.threads)
    low, high = active_range(grid, threads=settings.threads)
    if bound.relative:
        size = bound.value * (high - low)
    elif kind is FieldKind.LEVEL_SET:
        size = bound.value * max(describe_transform(grid.transform).voxel_size)
    else:
        size = bound.value
    if not 0 < size < high - low:  # more would leave nothing
        return None
    return values.sample_promise(kind.value, max_error=float(size), ratio=bound.ratio, half=grid.half)


def preset_promise(grid: VolumeGrid, quality: MeanQuality, threads: int = 1) -> Promise | None:
    """The mean lattice for a scalar grid; None where that is nothing."""
    low, high = active_range(grid, OUTLIERS, threads)
    span = high - low
    if not 0 < quality.step * span < np.inf:
        return None
    nonnegative = active_range(grid, threads=threads)[0] >= 0
    promise = values.mean_promise(
        step=quality.step * span, knee=quality.knee * span, half=grid.half, nonnegative=nonnegative
    )
    picture = quality.picture if low >= -_NEGATIVE * span else 0.0
    max_error = quality.rel_error * span or np.inf
    return replace(promise, bound=replace(promise.bound, picture=picture, max_error=max_error))


def _is_flame(name: str) -> bool:
    """Whether a scalar grid is one that a renderer makes light of rather than shade."""
    return any(word in name.lower() for word in FLAMES)


def _psnr_promise(grid: VolumeGrid, kind: FieldKind, decibels: float, threads: int) -> Promise | None:
    """A promise of PSNR, with a bound or step to begin the search with: that of evenly spread errors."""
    low, high = active_range(grid, threads=threads)
    size = (high - low) * 10 ** (-decibels / 20) * np.sqrt(12)
    if not 0 < size < np.inf:
        return None
    if kind is FieldKind.FOG:
        return values.mean_promise(step=float(size), psnr=decibels, half=grid.half, nonnegative=low >= 0)
    return values.sample_promise(kind.value, max_error=float(size / 2), psnr=decibels, half=grid.half)


def _preset_bound(preset: Preset, kind: FieldKind) -> Bound:
    if kind is FieldKind.LEVEL_SET:
        return Bound(value=preset.levelset, relative=False)
    return Bound(value=preset.velocity, relative=True)


def active_range(grid: VolumeGrid, outliers: float = 0.0, threads: int = 1) -> tuple[float, float]:
    """Smallest and largest finite active leaf value of a grid that travels as arrays; 0, 0 where there is none.

    outliers: share of the values that may lie beyond on either side.
    """
    assert grid.tree is not None
    ends = ends_of(values.by_component(grid.tree.leaf), grid.tree.leaf.active, outliers, threads=threads)
    return ends.low, ends.high


def is_kept(promise: Promise, original: VolumeGrid, decoded: VolumeGrid, *, pruned: bool) -> bool:
    """Whether a decoded grid keeps the promise for the original and differs from it in nothing else.

    pruned: whether the topology was pruned.
    """
    return (check_pruned if pruned else kept)(promise, original, decoded)


def kept(promise: Promise, original: VolumeGrid, decoded: VolumeGrid) -> bool:
    """Whether active leaf values are within the bound and keep PSNR and picture, all else the original's bits."""
    if original.tree is None or decoded.tree is None:
        return False
    leaf, true = decoded.tree.leaf, original.tree.leaf
    if leaf.values.shape != true.values.shape or not np.array_equal(leaf.active, true.active):
        return False
    on = unpack(true.active)
    if promise.bound.psnr and psnr(original.tree, decoded.tree) < promise.bound.psnr:
        return False
    if promise.bound.picture and not _keeps_picture(promise, original.tree, decoded.tree):
        return False
    near = promise.kept(true.values[on], leaf.values[on])
    if not (near | _same_bits(leaf.values[on], true.values[on])).all():
        return False
    remainder = leaf.values.copy()
    remainder[on] = true.values[on]
    tree = replace(decoded.tree, leaf=replace(leaf, values=remainder))
    return content_hash(replace(decoded, tree=tree)) == content_hash(original)


def _keeps_picture(promise: Promise, original: Tree, decoded: Tree) -> bool:
    from neuralvdb.picture import measured_t_psnr  # what only encodes does without, where every bit is kept

    return (measured_t_psnr(original, decoded) or 0.0) >= promise.bound.picture


def _same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    equal: np.ndarray = a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")
    return equal
