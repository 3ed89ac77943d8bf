"""Topology by networks: section TOPO, codecs 1 and 2 (layout in archive/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import FINDS
from neuralvdb.topology.classify import Classifier
from neuralvdb.topology.code_mask import CodeMask, code_mask, decode_with, encode_with
from neuralvdb.topology.code_tree import code_tree
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.native_mask import NativeDecoder, NativeEncoder
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.topology.root import put_root, take_root


def encode(
    topology: Topology, reference: Reference | None = None, *, threads: int = 1, implementation: str = "native"
) -> bytes:
    """The payload of a TOPO section: codec 1, or, with a `reference` that it resembles, codec 2."""
    prior = priors.load()
    out = FieldWriter()
    put_root(out, topology)
    out.put_bytes(prior.identity)
    tiles = has_tiles(topology)
    out.put("u8", tiles[0] | tiles[1] << 1)
    if reference is not None:
        out.put_varint(reference.grid)
    coder = Encoder(prior.tables)
    code: CodeMask = partial(code_mask, Classifier(prior.networks), encode_with(coder))
    if implementation == "native":
        code = NativeEncoder(coder, threads).code_mask
    known = None if reference is None else reference.topology
    code_tree(topology, tiles, code, FINDS[implementation], reference=known)
    out.put_bytes(coder.finish(threads))
    return out.getvalue()


def reference_of(source: TopologyPayload) -> int:
    """The number of the grid from whose topology a payload of codec 2 is decoded. Raises DamagedFile."""
    fields = FieldReader(source.payload, source.where)
    _take_head(fields, source.declared)
    return fields.take_varint()


def decode(
    source: TopologyPayload,
    reference: Reference | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
    implementation: str = "native",
) -> Topology:
    """The topology in a payload of codec 1, or, with the `reference` that it names, of codec 2.

    device: where masks are decoded, such as "cuda:0", None for the CPU. Raises DamagedFile where it breaks the format
    or takes more than declared, OutOfMemory where it does not fit on the device.
    """
    fields = FieldReader(source.payload, source.where)
    head = _take_head(fields, source.declared)
    if reference is not None and fields.take_varint() != reference.grid:
        raise fields.damaged(f"it is not coded from grid {reference.grid}")
    coder = Decoder(fields.take_bytes(), priors.load().tables, source.where, threads)
    fields.finish()

    def check_size(*, lowers: int, leaves: int) -> None:
        size = head.size + lowers * 1024 + leaves * 64
        if size > source.declared:
            raise fields.damaged(f"masks need {size} bytes but {source.declared} are declared")

    masks = _mask_decoder(coder, threads, device, implementation)
    topology = code_tree(
        head.root,
        head.tiles,
        masks.code,
        FINDS[implementation],
        check_size=check_size,
        reference=None if reference is None else reference.topology,
    )
    masks.finish()
    return topology


def has_tiles(topology: Topology) -> tuple[bool, bool]:
    """Whether upper and lower nodes have active tiles."""
    return bool(topology.upper_active.any()), bool(topology.lower_active.any())


@dataclass(frozen=True)
class _Head:
    """What stands before the masks. root: a topology of which only the root is set; size: bytes of it and of the upper
    nodes' masks; tiles: whether upper and lower nodes have active tiles."""

    root: Topology
    size: int
    tiles: tuple[bool, bool]


def _take_head(fields: FieldReader, declared: int) -> _Head:
    root, size = take_root(fields, declared)
    if fields.take_bytes() != priors.load().identity:
        raise fields.damaged("it needs networks that this version does not have")
    flags = fields.take("u8")
    if flags > 3:
        raise fields.damaged(f"flags {flags} do not exist")
    return _Head(root, size, (bool(flags & 1), bool(flags & 2)))


@dataclass(frozen=True)
class _MaskDecoder:
    """Decodes masks; finish() raises DamagedFile unless everything was taken."""

    code: CodeMask
    finish: Callable[[], None]


def _mask_decoder(coder: Decoder, threads: int, device: str | None, implementation: str) -> _MaskDecoder:
    native = implementation == "native"
    if device is None and native:
        return _MaskDecoder(NativeDecoder(coder, threads).code_mask, coder.finish)
    if device is None:
        return _MaskDecoder(partial(code_mask, Classifier(priors.load().networks), decode_with(coder)), coder.finish)
    from neuralvdb.topology.device import DeviceCoder

    masks = DeviceCoder(coder, device) if native else DeviceCoder(coder, device, implementation)
    return _MaskDecoder(masks.code_mask, masks.finish)
