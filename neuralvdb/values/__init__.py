"""Value codecs: what the tiles and voxels of a known topology hold."""

from neuralvdb.values.lossless import decode, encode, raw_size

__all__ = ["decode", "encode", "raw_size"]
