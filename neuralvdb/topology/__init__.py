"""Topology codecs: which nodes, tiles and voxels there are, without their values."""

from collections.abc import Callable

from neuralvdb.topology import box, lossless, neural
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.neural import Base
from neuralvdb.topology.similarity import count_differing, resembles

__all__ = ["Base", "Topology", "count_differing", "decode", "encode", "resembles"]


def encode(topology: Topology, base: Base | None = None, *, threads: int = 1) -> tuple[int, bytes]:
    """Codec and payload of a TOPO section: a box (3) if it is one, else the smallest of plain masks (0), networks (1)
    and, where there is a `base`, networks that see it (2)."""
    boxed = box.encode(topology)
    if boxed is not None:
        return 3, boxed
    found = [lossless.encode(topology), neural.encode(topology, threads=threads)]
    if base is not None:
        found.append(neural.encode(topology, base, threads=threads))
    return min(enumerate(found), key=lambda item: len(item[1]))


def decode(
    codec: int,
    payload: bytes,
    declared: int,
    where: str,
    base_of: Callable[[int], Topology] | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
) -> Topology:
    """The topology in the payload of a codec. base_of gives the topology of the grid of a number, for codec 2.

    device: where networks decode, such as "cuda:0", None for the CPU. Raises DamagedFile where it breaks the format or
    takes more than `declared` bytes, OutOfMemory where it does not fit on the device.
    """
    if codec == 0:
        return lossless.decode(payload, declared, where)
    if codec == 3:
        return box.decode(payload, declared, where)
    return neural.decode(payload, declared, where, base_of if codec == 2 else None, threads=threads, device=device)
