"""Grids as torch tensors, in the memory of a GPU or of the CPU: from files, and to archives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import devices
from neuralvdb.api.source import is_archive, select
from neuralvdb.codec.decode import DecodedLeaves
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.frame_table import GridHead
from neuralvdb.codec.models import models_for
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import Unsupported, UsageError, naming
from neuralvdb.settings import Box, DecompressSettings
from neuralvdb.values import by_component
from neuralvdb.vdb import GridProperties, GridsInMemory, VdbReader, describe_metadata, describe_transform, from_dense
from neuralvdb.volume import LeafLevel, Storage, Tree, VolumeGrid
from neuralvdb.volume.grid import InnerLevel, Root, display_name, leaf_origins, lower_origins
from neuralvdb.volume.lookup import constants_at, find
from neuralvdb.volume.regions import active_box

if TYPE_CHECKING:
    import torch

_EDGE = 8  # voxels along an edge of a leaf


@dataclass(frozen=True, kw_only=True)
class GridTensors:
    """One grid of N leaves with C components. Tensors lie on the device, all else on the host."""

    unique_name: bytes
    """In the file, with OpenVDB's suffix for duplicates."""
    grid_type: str
    half: bool
    """Whether files hold its values as half."""
    origins: torch.Tensor
    """(N, 3) int32: the leaves' lowest corners in voxels of index space."""
    masks: torch.Tensor
    """(N, 64) uint8: active voxels; bit n mod 8 of byte n div 8 is voxel n's, z fastest."""
    values: torch.Tensor
    """(N, 512, C)."""
    root: Root
    """The background and the root's tiles, as neuralvdb.volume.Tree has them."""
    upper: InnerLevel
    """Upper nodes with their tiles, as neuralvdb.volume.Tree has them."""
    lower: InnerLevel
    """Lower nodes with their tiles, as neuralvdb.volume.Tree has them."""
    metadata: bytes
    """As OpenVDB serialises it."""
    transform: bytes
    """As OpenVDB serialises it."""

    @property
    def name(self) -> str:
        """The name for people: `density`, or `density[1]` where names repeat."""
        return display_name(self.unique_name)

    @property
    def grid_class(self) -> str:
        """OpenVDB's: fog volume, level set, staggered or unknown."""
        return describe_metadata(self.metadata).get("class", ("string", "unknown"))[1]

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """World units."""
        return describe_transform(self.transform).voxel_size

    @property
    def matrix(self) -> np.ndarray:
        """(4, 4) float64: takes columns (x, y, z, 1) in voxels to world units. Raises Unsupported where the transform
        is not linear."""
        matrix = describe_transform(self.transform).matrix
        if not matrix:
            raise Unsupported(f"grid '{self.name}': its transform is not linear, so it is no matrix")
        return np.array(matrix).reshape(4, 4).T

    @property
    def bounding_box(self) -> Box | None:
        """The smallest box that holds all that is active; None where nothing is."""
        return active_box(self._without_values)

    def dense(self, box: Box | None = None) -> torch.Tensor:
        """(X, Y, Z, C) values of a box of voxels, by default of the bounding box, on the device.

        Inactive values and tiles as they are, the background where nothing is. Raises UsageError without a box where
        nothing is active.
        """
        from torch import from_numpy

        box = self.bounding_box if box is None else box
        if box is None:
            raise UsageError(f"grid '{self.name}' has no active voxel; give a box")
        device, low = self.values.device, np.array(box.low) // _EDGE * _EDGE
        counts = np.array(box.high) // _EDGE - low // _EDGE + 1
        bricks = (np.indices(counts).reshape(3, -1).T * _EDGE + low).astype(np.int32)
        tree = self._without_values
        tiles = constants_at(tree, bricks, lower_origins(tree))[0]
        leaf = from_numpy(find(self.origins.cpu().numpy(), bricks)).to(device)
        values = from_numpy(tiles).to(device)[:, None].repeat(1, _EDGE**3, 1)
        values[leaf >= 0] = self.values[leaf[leaf >= 0]]
        whole = values.reshape(*counts, _EDGE, _EDGE, _EDGE, -1).permute(0, 3, 1, 4, 2, 5, 6)
        whole = whole.reshape(*(counts * _EDGE), values.shape[-1])
        x, y, z = (slice(a - o, b - o + 1) for a, b, o in zip(box.low, box.high, low, strict=True))
        return whole[x, y, z]

    def grid(self) -> VolumeGrid:
        """The same grid as NumPy arrays, for write_vdb()."""
        values = self.values.cpu().numpy()
        values = values[..., 0] if values.shape[-1] == 1 else values
        tree = replace(self._without_values, leaf=LeafLevel(self.masks.cpu().numpy(), values))
        return VolumeGrid(
            unique_name=self.unique_name,
            grid_type=self.grid_type,
            half=self.half,
            storage=Storage.TREE,
            metadata=self.metadata,
            transform=self.transform,
            tree=tree,
        )

    @property
    def _without_values(self) -> Tree:
        """The tree on the host, its leaves with no values."""
        masks = self.masks.cpu().numpy()
        return Tree(self.root, self.upper, self.lower, LeafLevel(masks, np.zeros((len(masks), 0))))


def from_tensor(
    values: torch.Tensor,
    *,
    name: str,
    active: torch.Tensor | None = None,
    background: float = 0.0,
    origin: tuple[int, int, int] = (0, 0, 0),
    properties: GridProperties = GridProperties(),
) -> VolumeGrid:
    """A grid with a leaf wherever a voxel is active, as from_dense() makes it of arrays.

    values: (X, Y, Z) or (X, Y, Z, 3), float32, float64, or float16, which becomes float32 that files hold as half.
    active: (X, Y, Z) bool; None: voxels that differ from the background. Raises ValueError for any other shape or type.
    """
    arrays = values.detach().cpu().numpy()
    if arrays.dtype == np.float16:
        arrays, properties = arrays.astype(np.float32), replace(properties, half=True)
    mask = None if active is None else active.detach().cpu().numpy()
    return from_dense(arrays, name=name, active=mask, background=background, origin=origin, properties=properties)


def in_memory(grids: VolumeGrid | GridTensors | Iterable[VolumeGrid | GridTensors]) -> GridsInMemory:
    """Grids of arrays or tensors as compress() takes them. Raises TypeError for anything else."""
    every = [grids] if isinstance(grids, VolumeGrid | GridTensors) else list(grids)
    for grid in every:
        if not isinstance(grid, VolumeGrid | GridTensors):
            raise TypeError(
                f"a grid is a VolumeGrid, as from_dense() gives it, or GridTensors, not {type(grid).__name__}"
            )
    return GridsInMemory(grid.grid() if isinstance(grid, GridTensors) else grid for grid in every)


def tensors(
    source: str | os.PathLike[str], settings: DecompressSettings = DecompressSettings()
) -> dict[str, GridTensors]:
    """The grids of a file that are float, double or vec3 trees, by name; settings.grids selects some.

    Of an archive, lossy values, and topologies that networks code, are decoded on the device; the rest is decoded by
    the CPU, and so is a .vdb file. Checksums of streams are compared; the hash of a grid's content, which decompress()
    to a file also compares, is not. Raises InputError, DamagedFile, Unsupported, NoSuchGrid, NoSuchDevice,
    MissingPriors, OutOfMemory, PromiseBroken, and UsageError where settings ask for a box, a level of detail or masks.
    """
    if settings.box is not None or settings.lod or settings.topology_only:
        raise UsageError("tensors come whole; leave out the box, the level of detail and topology_only")
    gpus = devices.Devices(settings.device)
    path = os.fspath(source)
    if not is_archive(path):
        return _tensors_of_vdb(path, settings.grids, gpus.first)
    with naming(path), FrameReader(path, settings.frame, models=models_for(settings), devices=gpus) as frame:
        grids = [
            _tensors(frame.grids[index], frame.grids[owner].grid_type, frame.leaves(owner, settings.threads))
            for index in select(frame.grids, settings.grids, path)
            if frame.grids[owner := frame.index.source(index)].storage is Storage.TREE
        ]
    return {grid.name: grid for grid in grids}


def _tensors_of_vdb(path: str, names: tuple[str, ...], device: str) -> dict[str, GridTensors]:
    from torch import from_numpy

    reader = VdbReader(path)
    number_of = {entry.unique_name: number for number, entry in enumerate(reader.entries)}
    grids = {}
    for index in select(reader.entries, names, path):
        grid = reader.read(index)
        parent = number_of.get(grid.parent)
        tree = grid.tree if parent is None else reader.read(parent).tree
        if tree is not None:
            masks, voxels = (from_numpy(a.copy()).to(device) for a in (tree.leaf.active, by_component(tree.leaf)))
            grids[grid.name] = _tensors(grid, grid.grid_type, DecodedLeaves(tree, masks, voxels))
    return grids


def _tensors(head: GridHead | VolumeGrid, grid_type: str, leaves: DecodedLeaves) -> GridTensors:
    from torch import from_numpy

    return GridTensors(
        unique_name=head.unique_name,
        grid_type=grid_type,
        half=head.half,
        origins=from_numpy(leaf_origins(leaves.tree)).to(leaves.values.device),
        masks=leaves.masks,
        values=leaves.values,
        root=leaves.tree.root,
        upper=leaves.tree.upper,
        lower=leaves.tree.lower,
        metadata=head.metadata,
        transform=head.transform,
    )
