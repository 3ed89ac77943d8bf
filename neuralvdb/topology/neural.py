"""Topology by networks: section TOPO, codecs 1 and 2 (layout in archive/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import FINDS
from neuralvdb.topology.classify import Classifier
from neuralvdb.topology.code_mask import code_mask, put, take
from neuralvdb.topology.code_tree import walk
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.root import put_root, take_root

Base = tuple[int, Topology]  # number of a grid, and its topology


def encode(topology: Topology, base: Base | None = None, *, threads: int = 1, implementation: str = "native") -> bytes:
    """The payload of a TOPO section: codec 1, or, with a `base` that it resembles, codec 2."""
    prior = priors.load()
    out = FieldWriter()
    put_root(out, topology)
    out.put_bytes(prior.identity)
    tiles = has_tiles(topology)
    out.put("u8", tiles[0] | tiles[1] << 1)
    if base is not None:
        out.put_varint(base[0])
    coder = Encoder(prior.tables)
    classify = Classifier(prior.networks, threads=threads, implementation=implementation)
    code = partial(code_mask, classify, put(coder))
    walk(topology, tiles, code, FINDS[implementation], base=base and base[1])
    out.put_bytes(coder.finish(threads))
    return out.getvalue()


def decode(
    payload: bytes,
    declared: int,
    where: str,
    base_of: Callable[[int], Topology] | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
    implementation: str = "native",
) -> Topology:
    """The topology in `payload`; of codec 2 if `base_of`, which gives the topology of the grid of a number, is there.

    device: where masks are decoded, such as "cuda:0", None for the CPU. Raises DamagedFile where it breaks the format
    or takes more than `declared` bytes, OutOfMemory where it does not fit on the device, and what base_of() raises.
    """
    prior = priors.load()
    source = FieldReader(payload, where)
    root, used = take_root(source, declared)
    if source.take_bytes() != prior.identity:
        raise source.damaged("it needs networks that this version does not have")
    flags = source.take("u8")
    if flags > 3:
        raise source.damaged(f"flags {flags} do not exist")
    base = None if base_of is None else base_of(source.take_varint())
    coder = Decoder(source.take_bytes(), prior.tables, where, threads)
    source.finish()

    def fits(lowers: int, leaves: int) -> None:
        size = used + lowers * 1024 + leaves * 64
        if size > declared:
            raise source.damaged(f"masks need {size} bytes but {declared} are declared")

    if device is None:
        classify = Classifier(prior.networks, threads=threads, implementation=implementation)
        code, finish = partial(code_mask, classify, take(coder)), coder.finish
    else:
        from neuralvdb.topology.device import DeviceCoder

        options = {} if implementation == "native" else {"implementation": implementation}
        masks = DeviceCoder(coder, device, **options)
        code, finish = masks.code_mask, masks.finish
    tiles = bool(flags & 1), bool(flags & 2)
    topology = walk(root, tiles, code, FINDS[implementation], fits=fits, base=base)
    finish()
    return topology


def has_tiles(topology: Topology) -> tuple[bool, bool]:
    """Whether upper and lower nodes have active tiles."""
    return bool(topology.upper_active.any()), bool(topology.lower_active.any())
