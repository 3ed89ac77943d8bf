"""Volumes: VDB grids as plain arrays, and the bridge to the OpenVDB library."""

from neuralvdb.volume.dense import from_dense
from neuralvdb.volume.grid import Level, Root, Storage, Tree, VolumeGrid, leaf_origins
from neuralvdb.volume.vdb import (
    COMPRESSIONS,
    FILE_VERSION,
    Entry,
    Outline,
    VdbReader,
    VdbWriter,
    describe_metadata,
    describe_transform,
    return_memory,
    set_threads,
    write_vdb,
)

__all__ = [
    "COMPRESSIONS",
    "FILE_VERSION",
    "Entry",
    "Level",
    "Outline",
    "Root",
    "Storage",
    "Tree",
    "VdbReader",
    "VdbWriter",
    "VolumeGrid",
    "describe_metadata",
    "describe_transform",
    "from_dense",
    "leaf_origins",
    "return_memory",
    "set_threads",
    "write_vdb",
]
