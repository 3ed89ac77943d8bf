"""From .neuralvdb to torch tensors, in the memory of a GPU or of the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuralvdb import devices
from neuralvdb.api.source import select
from neuralvdb.codec.decode import FrameReader
from neuralvdb.errors import UsageError
from neuralvdb.settings import DecompressSettings
from neuralvdb.volume import Storage
from neuralvdb.volume.grid import Root, TreeLevel, leaf_origins

if TYPE_CHECKING:
    import torch


@dataclass
class GridTensors:
    """One grid, N leaves of C components. On the device: origins, (N, 3) int32, in voxels of index space; masks, (N,
    64) uint8, bit n mod 8 of byte n div 8 is voxel n's, z fastest; values, (N, 512, C). On the host, as
    neuralvdb.volume.Tree has them: root, upper and lower level, which hold the tiles and the background; metadata and
    transform as OpenVDB serialises them.
    """

    name: str
    grid_type: str
    origins: torch.Tensor
    masks: torch.Tensor
    values: torch.Tensor
    root: Root
    upper: TreeLevel
    lower: TreeLevel
    metadata: bytes
    transform: bytes


def tensors(
    source: str | os.PathLike[str], settings: DecompressSettings = DecompressSettings()
) -> dict[str, GridTensors]:
    """The grids of the archive `source` that are float, double or vec3 trees, by name; settings.grids selects some.

    Lossy values, and topologies that networks code, are decoded on the device; the rest is decoded by the CPU. Streams
    are checked, but the hash of a grid's content, which decompress() to a file also compares, is not. Raises
    InputError, DamagedFile, Unsupported, NoSuchGrid, NoSuchDevice, OutOfMemory, PromiseBroken, and UsageError where
    settings ask for a part.
    """
    from torch import from_numpy

    if settings.box is not None or settings.lod or settings.topology_only:
        raise UsageError("tensors come whole; leave out the box, the level of detail and topology_only")
    found = {}
    with FrameReader(source, devices=devices.resolve(settings.device)) as frame:
        heads = frame.table.grids
        for index in select(heads, settings.grids, os.fspath(source)):
            if heads[frame.source(index)].storage is not Storage.TREE:
                continue
            head = heads[index]
            tree, masks, values = frame.leaves(frame.source(index), settings.threads)
            found[head.name] = GridTensors(
                head.name,
                heads[frame.source(index)].grid_type,
                from_numpy(leaf_origins(tree)).to(values.device),
                masks,
                values,
                tree.root,
                tree.upper,
                tree.lower,
                head.metadata,
                head.transform,
            )
    return found
