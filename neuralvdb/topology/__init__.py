"""Topology codecs: which nodes, tiles and voxels there are, without their values."""

from neuralvdb.topology import lossless, neural
from neuralvdb.topology.masks import Topology

__all__ = ["Topology", "decode", "encode"]


def encode(topology: Topology, *, threads: int = 1) -> tuple[int, bytes]:
    """Codec and payload of a TOPO section: the smaller of plain masks (0) and networks (1)."""
    plain, coded = lossless.encode(topology), neural.encode(topology, threads=threads)
    return (1, coded) if len(coded) < len(plain) else (0, plain)


def decode(codec: int, payload: bytes, declared: int, where: str, *, threads: int = 1) -> Topology:
    """The topology in the payload of a codec.

    Raises DamagedFile where it breaks the format or takes more than `declared` bytes.
    """
    if codec == 1:
        return neural.decode(payload, declared, where, threads=threads)
    return lossless.decode(payload, declared, where)
