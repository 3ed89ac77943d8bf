"""Topology by networks: section TOPO, codecs 1 and 2 (layout in archive/SPEC.md)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.dataclass import dataclass
from neuralvdb.threads import on_threads, run_in_order
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import INDEXES
from neuralvdb.topology.chunks import group_leaves
from neuralvdb.topology.classify import Classifier
from neuralvdb.topology.code_mask import CodeMask, code_mask, decode_with, encode_with
from neuralvdb.topology.code_tree import TreeCoder
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.native_mask import NativeDecoder, NativeEncoder
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.topology.root import put_root, take_root


def encode(
    topology: Topology,
    reference: Reference | None = None,
    *,
    threads: int = 1,
    implementation: str = "native",
    is_enough: Callable[[int], bool] = lambda size: False,
) -> bytes:
    """The payload of a TOPO section: codec 1, or, with a `reference` that it resembles, codec 2.

    is_enough: told the bytes so far after each chunk; where it says so, the payload ends there, and cannot be decoded.
    """
    prior = priors.load()
    out = FieldWriter()
    put_root(out, topology)
    out.put_bytes(prior.identity)
    tiles = has_tiles(topology)
    out.put("u8", tiles[0] | tiles[1] << 1)
    if reference is not None:
        out.put_varint(reference.grid)
    known = None if reference is None else reference.topology
    tree = TreeCoder(topology, tiles, INDEXES[implementation], known)
    first = Encoder(prior.tables)
    tree.code_nodes(_encoding(first, threads, implementation), topology)
    groups = group_leaves(tree.leaf_origins)
    each = 1 if len(groups) > 1 else threads

    def payload(number: int) -> bytes:
        coder = Encoder(prior.tables) if number else first
        if groups:
            tree.code_leaves(_encoding(coder, each, implementation), groups[number].leaves, topology)
        return coder.finish(each)

    work, size = (partial(payload, number) for number in range(max(1, len(groups)))), 0
    for chunk in run_in_order(work, threads=threads, most_waiting=threads + 1):
        out.put_bytes(chunk)
        size += len(chunk)
        if is_enough(size):
            break
    return out.getvalue()


def reference_of(source: TopologyPayload) -> int:
    """The number of the grid from whose topology a payload of codec 2 is decoded. Raises DamagedFile."""
    fields = FieldReader(source.payload, source.where)
    _take_head(fields, source.declared)
    return fields.take_varint()


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How masks are decoded. device: where, such as "cuda:0", None for the CPU."""

    threads: int = 1
    device: str | None = None
    implementation: str = "native"


def decode(
    source: TopologyPayload,
    reference: Reference | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
    implementation: str = "native",
) -> Topology:
    """The topology in a payload, all of it; arguments and errors as begin() has them."""
    decoding = Decoding(threads=threads, device=device, implementation=implementation)
    topology = begin(source, reference, decoding)
    topology.need()
    return topology


def begin(source: TopologyPayload, reference: Reference | None, decoding: Decoding) -> Topology:
    """The topology in a payload of codec 1, or, with the `reference` that it names, of codec 2. The masks of its leaves
    are decoded where need() asks for them.

    Raises DamagedFile where it breaks the format or takes more than declared, OutOfMemory where it does not fit on the
    device.
    """
    fields = FieldReader(source.payload, source.where)
    head = _take_head(fields, source.declared)
    if reference is not None and fields.take_varint() != reference.grid:
        raise fields.damaged(f"it is not coded from grid {reference.grid}")

    def check_size(*, lowers: int, leaves: int) -> None:
        size = head.size + lowers * 1024 + leaves * 64
        if size > source.declared:
            raise fields.damaged(f"masks need {size} bytes but {source.declared} are declared")

    known = None if reference is None else reference.topology
    tree = TreeCoder(head.root, head.tiles, INDEXES[decoding.implementation], known)
    first = _mask_decoder(fields, source.where, decoding)
    nodes = tree.code_nodes(first.code, None, check_size)
    groups = group_leaves(tree.leaf_origins)
    if not groups:
        first.finish()
    further = [_mask_decoder(fields, source.where, decoding) for _ in groups[1:]]
    chunks = [_Chunk(group.leaves, decoder) for group, decoder in zip(groups, [first, *further], strict=False)]
    fields.finish()
    return _ChunkedTopology(nodes, tree, chunks, decoding.threads)


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


def _encoding(coder: Encoder, threads: int, implementation: str) -> CodeMask:
    """What puts known masks into a coder."""
    if implementation == "native":
        return NativeEncoder(coder, threads).code_mask
    return partial(code_mask, Classifier(priors.load().networks), encode_with(coder))


@dataclass(frozen=True)
class _MaskDecoder:
    """Decodes masks; finish() raises DamagedFile unless everything was taken."""

    code: CodeMask
    finish: Callable[[], None]


def _mask_decoder(fields: FieldReader, where: str, decoding: Decoding) -> _MaskDecoder:
    """What takes masks from the next payload."""
    prior = priors.load()
    coder = Decoder(fields.take_bytes(), prior.tables, where, decoding.threads)
    native = decoding.implementation == "native"
    if decoding.device is None and native:
        return _MaskDecoder(NativeDecoder(coder, decoding.threads).code_mask, coder.finish)
    if decoding.device is None:
        return _MaskDecoder(partial(code_mask, Classifier(prior.networks), decode_with(coder)), coder.finish)
    from neuralvdb.topology.device import DeviceCoder

    masks = (
        DeviceCoder(coder, decoding.device) if native else DeviceCoder(coder, decoding.device, decoding.implementation)
    )
    return _MaskDecoder(masks.code_mask, masks.finish)


@dataclass(frozen=True)
class _Chunk:
    """Leaves (B,) int64 that are decoded together, and what decodes them."""

    leaves: np.ndarray
    decoder: _MaskDecoder


class _ChunkedTopology(Topology):
    """A topology whose leaves are decoded chunk by chunk. Threads may use it at the same time."""

    def __init__(self, nodes: Topology, tree: TreeCoder, chunks: list[_Chunk], threads: int) -> None:
        super().__init__(**vars(nodes))
        self._tree, self._missing, self._threads, self._lock = tree, chunks, threads, threading.Lock()
        self._error: Exception | None = None

    def need(self, leaves: np.ndarray | None = None) -> None:
        """As Topology has it; what was raised once is raised again."""
        with self._lock:
            if self._error is not None:
                raise self._error
            needed = [leaves is None or bool(leaves[chunk.leaves].any()) for chunk in self._missing]
            chunks = [chunk for chunk, is_needed in zip(self._missing, needed, strict=True) if is_needed]
            try:
                for chunk, masks in zip(chunks, on_threads(self._decode, chunks, self._threads), strict=True):
                    self.leaf_active[chunk.leaves] = masks
            except Exception as error:
                self._error = error
                raise
            self._missing = [chunk for chunk, is_needed in zip(self._missing, needed, strict=True) if not is_needed]

    def _decode(self, chunk: _Chunk) -> np.ndarray:
        masks = self._tree.code_leaves(chunk.decoder.code, chunk.leaves, None)
        chunk.decoder.finish()
        return masks
