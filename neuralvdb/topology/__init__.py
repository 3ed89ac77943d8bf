"""Topology codecs: which nodes, tiles and voxels there are, without their values."""

from neuralvdb.topology.lossless import decode, encode, raw_size
from neuralvdb.topology.masks import Topology

__all__ = ["Topology", "decode", "encode", "raw_size"]
