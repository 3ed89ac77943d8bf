"""Grids from dense arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.vdb import _bridge
from neuralvdb.volume.grid import InnerLevel, LeafLevel, Root, Storage, Tree, VolumeGrid, unpack

_DTYPES = {
    ("float32", 3): "Tree_float_5_4_3",
    ("float64", 3): "Tree_double_5_4_3",
    ("float32", 4): "Tree_vec3s_5_4_3",
    ("float64", 4): "Tree_vec3d_5_4_3",
}


@dataclass(frozen=True, kw_only=True)
class GridProperties:
    """What a grid says of itself.

    voxel_size: world units.
    grid_class: "fog volume", "level set", "staggered" or "unknown".
    half: whether the file holds halves.
    metadata: more entries.
    """

    voxel_size: float = 1.0
    grid_class: str = "unknown"
    half: bool = False
    metadata: Mapping[str, str | bool | int | float] = field(default_factory=dict)


def from_dense(
    values: np.ndarray,
    *,
    name: str,
    active: np.ndarray | None = None,
    background: float = 0.0,
    origin: tuple[int, int, int] = (0, 0, 0),
    properties: GridProperties = GridProperties(),
) -> VolumeGrid:
    """A grid with a leaf wherever a voxel is active.

    values: (X, Y, Z) or (X, Y, Z, 3), float32 or float64; inactive voxels inside leaves keep theirs.
    active: (X, Y, Z) bool; None: voxels that differ from the background. origin: index-space coordinate (voxels) of
    values[0, 0, 0]. Slots outside leaves hold `background`. Raises ValueError for any other shape or type.
    """
    if active is None:
        differing = values != np.asarray(background, values.dtype)
        active = differing.any(-1) if values.ndim == 4 else differing
    key = (values.dtype.name, values.ndim)
    if key not in _DTYPES or active.shape != values.shape[:3] or active.dtype != bool:
        raise ValueError(f"values {values.dtype} {values.shape} and active {active.dtype} {active.shape} make no grid")
    if any(at < -(1 << 31) or at + size > 1 << 31 for at, size in zip(origin, active.shape, strict=True)):
        raise ValueError(f"voxels from {origin} on, {active.shape} of them, do not all have coordinates of 32 bits")
    fill = np.full(values.shape[3:], background, values.dtype)
    leaf_values, leaf_active, origins = _leaves(values, active, np.asarray(origin), fill)
    metadata, transform = _head(name, properties)
    return VolumeGrid(
        unique_name=name.encode(),
        grid_type=_DTYPES[key],
        half=properties.half,
        storage=Storage.TREE,
        metadata=metadata,
        transform=transform,
        tree=tree_of_leaves(origins, leaf_values, leaf_active, fill),
    )


def tree_of_leaves(origins: np.ndarray, values: np.ndarray, active: np.ndarray, background: np.ndarray) -> Tree:
    """A tree of nothing but leaves at `origins` (N, 3) int32, in voxels, each once.

    values: (N, 512[, C]); active: (N, 512) bool; background: ([C]), of the values' type.
    """
    lower, lower_origins, leaf_order = _parents(origins, 128, 4, 8, background)
    upper, upper_origins, lower_order = _parents(lower_origins, 4096, 5, 128, background)
    if len(lower_order):  # children must stand in the order of their parents
        starts = np.concatenate([[0], np.cumsum(unpack(lower.child).sum(1))])
        leaf_order = leaf_order[np.concatenate([np.arange(starts[i], starts[i + 1]) for i in lower_order])]
        lower = InnerLevel(lower.child[lower_order], lower.active[lower_order], lower.values[lower_order])
    none = np.zeros((0, 3), np.int32)
    no_values = np.zeros((0, *background.shape), values.dtype)
    root = Root(background, upper_origins, none, np.zeros(0, np.uint8), no_values)
    leaf = LeafLevel(np.packbits(active[leaf_order], axis=1, bitorder="little"), values[leaf_order])
    return Tree(root, upper, lower, leaf)


def _head(name: str, properties: GridProperties) -> tuple[bytes, bytes]:
    """Metadata and transform as OpenVDB serialises them. Raises ValueError where it has none of that kind."""
    items = {"name": name, "class": properties.grid_class, **properties.metadata}
    if properties.half:
        items["is_saved_as_half_float"] = True
    if not 0 < properties.voxel_size < math.inf:
        raise ValueError(f"{properties.voxel_size} is no voxel size; give a finite number above 0")
    try:
        return _bridge.make_metadata(items), _bridge.make_transform(float(properties.voxel_size))
    except (_bridge.DamagedError, RuntimeError) as error:
        raise ValueError(f"OpenVDB has no grid with {properties}: {error}") from error


def _leaves(
    values: np.ndarray, active: np.ndarray, origin: np.ndarray, fill: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (N, 512[, C]), active (N, 512) bool and origins (N, 3) of the bricks that hold active voxels."""
    low = origin % 8
    size = [-(-(n + o) // 8) * 8 for n, o in zip(active.shape, low, strict=True)]
    box = tuple(slice(o, o + n) for n, o in zip(active.shape, low, strict=True))
    padded = np.empty((*size, *fill.shape), values.dtype)
    padded[...] = fill
    padded[box] = values
    mask = np.zeros(size, bool)
    mask[box] = active
    bricks = _bricks(mask)
    used = bricks.any(1)
    corners = np.stack(np.unravel_index(np.nonzero(used)[0], [n // 8 for n in size]), axis=1) * 8
    return _bricks(padded)[used], bricks[used], (corners + origin - low).astype(np.int32)


def _bricks(dense: np.ndarray) -> np.ndarray:
    """(bricks, 512[, C]) from a dense array whose edges are multiples of 8."""
    x, y, z = (n // 8 for n in dense.shape[:3])
    tail = tuple(range(6, 3 + dense.ndim))
    cut = dense.reshape(x, 8, y, 8, z, 8, *dense.shape[3:]).transpose(0, 2, 4, 1, 3, 5, *tail)
    return cut.reshape(x * y * z, 512, *dense.shape[3:])


def _parents(
    origins: np.ndarray, edge: int, log2dim: int, child_edge: int, fill: np.ndarray
) -> tuple[InnerLevel, np.ndarray, np.ndarray]:
    """The nodes of edge `edge` (voxels) over children at `origins`, their origins, and the children's order."""
    slots = 1 << 3 * log2dim
    parent_of = origins // edge * edge
    parents, index = np.unique(parent_of, axis=0, return_inverse=True)
    index = index.reshape(-1)
    step = (origins - parent_of) // child_edge
    slot = (step[:, 0] << 2 * log2dim) + (step[:, 1] << log2dim) + step[:, 2]
    child = np.zeros((len(parents), slots), bool)
    child[index, slot] = True
    values = np.empty((len(parents), slots, *fill.shape), fill.dtype)
    values[...] = fill
    values[child] = 0
    active = np.zeros((len(parents), slots // 8), np.uint8)
    level = InnerLevel(np.packbits(child, axis=1, bitorder="little"), active, values)
    return level, parents.astype(np.int32), np.lexsort((slot, index))
