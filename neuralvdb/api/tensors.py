"""From .neuralvdb to torch tensors, in the memory of a GPU or of the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralvdb import devices
from neuralvdb.api.source import select
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.models import models_for
from neuralvdb.errors import UsageError, naming
from neuralvdb.settings import DecompressSettings
from neuralvdb.volume import Storage
from neuralvdb.volume.grid import InnerLevel, Root, leaf_origins

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class GridTensors:
    """One grid of N leaves with C components. Tensors lie on the device, all else on the host."""

    name: str
    grid_type: str
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


def tensors(
    source: str | os.PathLike[str], settings: DecompressSettings = DecompressSettings()
) -> dict[str, GridTensors]:
    """The grids of the archive `source` that are float, double or vec3 trees, by name; settings.grids selects some.

    Lossy values, and topologies that networks code, are decoded on the device; the rest is decoded by the CPU.
    Checksums of streams are compared; the hash of a grid's content, which decompress() to a file also compares, is not.
    Raises InputError, DamagedFile, Unsupported, NoSuchGrid, NoSuchDevice, MissingPriors, OutOfMemory, PromiseBroken,
    and UsageError where settings ask for a box, a level of detail or masks.
    """
    if settings.box is not None or settings.lod or settings.topology_only:
        raise UsageError("tensors come whole; leave out the box, the level of detail and topology_only")
    gpus = devices.resolve(settings.device)
    path = os.fspath(source)
    with naming(path), FrameReader(path, models=models_for(settings), devices=gpus) as frame:
        grids = [
            _tensors(frame, index, settings.threads)
            for index in select(frame.grids, settings.grids, path)
            if frame.grids[frame.index.source(index)].storage is Storage.TREE
        ]
    return {grid.name: grid for grid in grids}


def _tensors(frame: FrameReader, index: int, threads: int) -> GridTensors:
    from torch import from_numpy

    head, source = frame.grids[index], frame.index.source(index)
    leaves = frame.leaves(source, threads)
    return GridTensors(
        name=head.name,
        grid_type=frame.grids[source].grid_type,
        origins=from_numpy(leaf_origins(leaves.tree)).to(leaves.values.device),
        masks=leaves.masks,
        values=leaves.values,
        root=leaves.tree.root,
        upper=leaves.tree.upper,
        lower=leaves.tree.lower,
        metadata=head.metadata,
        transform=head.transform,
    )
