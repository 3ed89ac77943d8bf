"""Volumes: VDB grids as plain arrays. Needs no OpenVDB; reading and writing files is neuralvdb.vdb."""

from neuralvdb.volume.grid import InnerLevel, LeafLevel, Root, Storage, Tree, TreeLevel, VolumeGrid, leaf_origins

__all__ = ["InnerLevel", "LeafLevel", "Root", "Storage", "Tree", "TreeLevel", "VolumeGrid", "leaf_origins"]
