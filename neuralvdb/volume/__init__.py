"""Volumes: VDB grids as plain arrays. Needs no OpenVDB; reading and writing files is neuralvdb.vdb."""

from neuralvdb.volume.grid import Root, Storage, Tree, TreeLevel, VolumeGrid, leaf_origins

__all__ = ["Root", "Storage", "Tree", "TreeLevel", "VolumeGrid", "leaf_origins"]
