"""Topology codecs: which nodes, tiles and voxels there are, without their values."""

import functools

from neuralvdb.topology import box, lossless, neural
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.topology.priors import load as load_networks
from neuralvdb.topology.similarity import count_differing, resembles

__all__ = [
    "Reference",
    "Topology",
    "TopologyPayload",
    "begin",
    "count_differing",
    "decode",
    "encode",
    "load_networks",
    "reference_of",
    "resembles",
]

_LOSSLESS, _NEURAL, _REFERENCED, _BOX = range(4)
_NEAR = 1.5  # times what networks take: where plain masks are likely to take more, they are not tried


def encode(
    topology: Topology, reference: Reference | None = None, *, threads: int = 1, device: str | None = None
) -> tuple[int, bytes]:
    """Codec and payload of a TOPO section: a box (3) if it is one, else the smallest of plain masks (0), networks (1)
    and, where there is a `reference`, networks that see it (2).

    device: where networks encode, such as "cuda:0", None for the CPU. Raises OutOfMemory where it does not fit there.
    """
    boxed = box.encode(topology)
    if boxed is not None:
        return _BOX, boxed
    likely, by_masks = lossless.likely_size(topology), functools.cache(lambda: lossless.encode(topology))

    def is_enough(size: int) -> bool:
        return size > likely and size >= len(by_masks())

    by_networks = functools.partial(neural.encode, topology, threads=threads, device=device, is_enough=is_enough)
    payloads = {_NEURAL: by_networks()}
    if reference is not None:
        payloads[_REFERENCED] = by_networks(reference)
    if likely < _NEAR * min(map(len, payloads.values())):
        payloads[_LOSSLESS] = by_masks()
    codec = min(payloads, key=lambda codec: (len(payloads[codec]), codec))
    return codec, payloads[codec]


def reference_of(source: TopologyPayload) -> int | None:
    """The number of the grid from whose topology this one is decoded, None for no grid. Raises DamagedFile."""
    return neural.reference_of(source) if source.codec == _REFERENCED else None


def begin(
    source: TopologyPayload, reference: Reference | None = None, *, threads: int = 1, device: str | None = None
) -> Topology:
    """The topology in a payload, where masks of leaves may wait until need() asks for them. reference: the topology of
    the grid reference_of(source), where that is one.

    device: where networks decode, such as "cuda:0", None for the CPU. Raises DamagedFile where it breaks the format or
    takes more than declared, OutOfMemory where it does not fit on the device.
    """
    if source.codec == _LOSSLESS:
        return lossless.decode(source.payload, source.declared, source.where)
    if source.codec == _BOX:
        return box.decode(source.payload, source.declared, source.where)
    return neural.begin(source, reference, neural.Coding(threads=threads, device=device))


def decode(source: TopologyPayload, reference: Reference | None = None, *, threads: int = 1) -> Topology:
    """The topology in a payload, all of it. Raises what begin() does."""
    topology = begin(source, reference, threads=threads)
    topology.need()
    return topology
