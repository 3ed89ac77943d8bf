"""VDB grids from the tensors that the scripts of this folder make."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from neuralvdb.vdb import GridProperties, from_dense, write_vdb
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, unpack

CREATOR = {"creator": "neuralvdb data/generate.py"}
STAGGERED = {"vector_type": "contravariant relative"}


def dilated(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """(X, Y, Z) bool: the mask, grown by a cube that reaches `voxels` to every side."""
    return F.max_pool3d(mask[None, None].float(), 2 * voxels + 1, 1, voxels)[0, 0] > 0


def grid(
    values: torch.Tensor, name: str, active: torch.Tensor, properties: GridProperties, background: float = 0.0
) -> VolumeGrid:
    """A grid of `values` (X, Y, Z[, 3]) float32; values[0, 0, 0] is voxel (0, 0, 0)."""
    properties = replace(properties, metadata=CREATOR | properties.metadata)
    array = values.cpu().numpy().astype(np.float32)
    return from_dense(array, name=name, active=active.cpu().numpy(), background=background, properties=properties)


def blank(values: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """`values` (X, Y, Z[, 3]) with 0 where nothing is active, as simulators save them."""
    return values * (active if values.ndim == 3 else active[..., None])


def fog(values: torch.Tensor, name: str, active: torch.Tensor, voxel_size: float, half: bool):
    """A fog volume of `values` (X, Y, Z) where `active`."""
    properties = GridProperties(voxel_size=voxel_size, grid_class="fog volume", half=half)
    return grid(blank(values, active), name, active, properties)


def vectors(values: torch.Tensor, name: str, active: torch.Tensor, voxel_size: float, half: bool, staggered: bool):
    """A vector grid of `values` (3, X, Y, Z) where `active`: on the lower faces of voxels, or at their centres."""
    properties = GridProperties(voxel_size=voxel_size, half=half)
    if staggered:
        properties = replace(properties, grid_class="staggered", metadata=STAGGERED)
    return grid(blank(values.permute(1, 2, 3, 0), active), name, active, properties)


def level_set_grid(distance: torch.Tensor, name: str, half_band: float, voxel_size: float, half: bool):
    """A level set of `distance` (X, Y, Z), world units, clamped to `half_band` voxels: active where it is less."""
    background = half_band * voxel_size
    properties = GridProperties(voxel_size=voxel_size, grid_class="level set", half=half)
    surface = grid(distance, name, distance.abs() < background, properties, background)
    fill_tiles(surface.tree, distance.cpu().numpy())
    return surface


def fill_tiles(tree: Tree, distance: np.ndarray) -> None:
    """Gives each tile the value of `distance` (X, Y, Z) at its corner: inside the surface, minus the background."""
    upper_origins = tree.root.child_origins
    lower_origins = child_origins(upper_origins, tree.upper.child, UPPER_LOG2, 128)
    nodes = ((tree.upper, upper_origins, UPPER_LOG2, 128), (tree.lower, lower_origins, LOWER_LOG2, 8))
    for level, origins, log2dim, edge in nodes:
        corners = child_origins(origins, ~level.child, log2dim, edge)
        in_box = (corners < distance.shape).all(axis=1)
        tiles = ~unpack(level.child)
        tiles[tiles] = in_box
        level.values[tiles] = distance[tuple(corners[in_box].T)]


def write(path: Path, grids: list) -> None:
    """Write the grids as one .vdb file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_vdb(str(path), grids, compression="blosc")
