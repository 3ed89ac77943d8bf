"""Topology by networks: section TOPO, codecs 1 and 2 (layout in archive/SPEC.md)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.dataclass import dataclass
from neuralvdb.threads import on_threads, run_in_order
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import INDEXES
from neuralvdb.topology.chunks import LeafGroup, group_leaves
from neuralvdb.topology.classify import Classifier
from neuralvdb.topology.code_mask import CodeMask, code_mask, decode_with, encode_with
from neuralvdb.topology.code_tree import TreeCoder
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.native_mask import NativeDecoder, NativeEncoder
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.topology.root import put_root, take_root

if TYPE_CHECKING:
    from neuralvdb.topology.device import DeviceMasks


def encode(
    topology: Topology,
    reference: Reference | None = None,
    *,
    threads: int = 1,
    device: str | None = None,
    implementation: str = "native",
    is_enough: Callable[[int], bool] = lambda size: False,
) -> bytes:
    """The payload of a TOPO section: codec 1, or, with a `reference` that it resembles, codec 2.

    device, implementation: as Coding has them. is_enough: told the bytes so far after each chunk; where it says so, the
    payload ends there, and cannot be decoded. Raises OutOfMemory where masks do not fit on the device.
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
    coding = Coding(threads=threads, device=device, implementation=implementation)
    put = _leaf_putter(tree, topology, groups, coding, each)

    def payload(number: int) -> bytes:
        coder = Encoder(prior.tables) if number else first
        if groups:
            put(number, coder)
        return coder.finish(each)

    work, size = (partial(payload, number) for number in range(max(1, len(groups)))), 0
    for chunk in run_in_order(work, threads=threads, most_waiting=threads + 1):
        out.put_bytes(chunk)
        size += len(chunk)
        if is_enough(size):
            break
    return out.getvalue()


def _leaf_putter(
    tree: TreeCoder, topology: Topology, groups: list[LeafGroup], coding: Coding, each: int
) -> Callable[[int, Encoder], None]:
    """What puts the masks of the leaves of a group, by its number, into a coder. each: threads for a group on the
    CPU."""
    if coding.device is None or not groups:

        def put(number: int, coder: Encoder) -> None:
            tree.code_leaves(_encoding(coder, each, coding.implementation), groups[number].leaves, topology)

        return put
    tasks = on_threads(lambda group: tree.leaf_task(group.leaves, topology), groups, coding.threads)
    batches = _on_device(coding.device, coding.implementation).classify(list(tasks))

    def put_batches(number: int, coder: Encoder) -> None:
        for batch in batches[number]:
            coder.put(batch.classes, batch.symbols)

    return put_batches


def reference_of(source: TopologyPayload) -> int:
    """The number of the grid from whose topology a payload of codec 2 is decoded. Raises DamagedFile."""
    fields = FieldReader(source.payload, source.where)
    _take_head(fields, source.declared)
    return fields.take_varint()


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How masks are coded. device: where those of leaves are, such as "cuda:0", None for the CPU."""

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
    coding = Coding(threads=threads, device=device, implementation=implementation)
    topology = begin(source, reference, coding)
    topology.need()
    return topology


def begin(source: TopologyPayload, reference: Reference | None, coding: Coding) -> Topology:
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
    tree = TreeCoder(head.root, head.tiles, INDEXES[coding.implementation], known)
    first = _mask_decoder(fields, source.where, coding)
    nodes = tree.code_nodes(first.code, None, check_size)
    groups = group_leaves(tree.leaf_origins)
    if not groups:
        first.coder.finish()
    further = [_mask_decoder(fields, source.where, coding) for _ in groups[1:]]
    chunks = [_Chunk(group.leaves, decoder) for group, decoder in zip(groups, [first, *further], strict=False)]
    fields.finish()
    return _ChunkedTopology(nodes, tree, chunks, coding)


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


def _on_device(device: str, implementation: str) -> DeviceMasks:
    from neuralvdb.topology.device import DeviceMasks  # which needs torch

    return DeviceMasks(device=device, implementation="triton" if implementation == "native" else implementation)


def _encoding(coder: Encoder, threads: int, implementation: str) -> CodeMask:
    """What puts known masks into a coder."""
    if implementation == "native":
        return NativeEncoder(coder, threads).code_mask
    return partial(code_mask, Classifier(priors.load().networks), encode_with(coder))


@dataclass(frozen=True)
class _MaskDecoder:
    """Decodes masks on the CPU, by `code`, from what `coder` takes."""

    coder: Decoder
    code: CodeMask


def _mask_decoder(fields: FieldReader, where: str, coding: Coding) -> _MaskDecoder:
    """What takes masks from the next payload."""
    prior = priors.load()
    coder = Decoder(fields.take_bytes(), prior.tables, where, coding.threads)
    if coding.implementation == "native":
        return _MaskDecoder(coder, NativeDecoder(coder, coding.threads).code_mask)
    return _MaskDecoder(coder, partial(code_mask, Classifier(prior.networks), decode_with(coder)))


@dataclass(frozen=True)
class _Chunk:
    """Leaves (B,) int64 that are decoded together, and what decodes them."""

    leaves: np.ndarray
    decoder: _MaskDecoder


class _ChunkedTopology(Topology):
    """A topology whose leaves are decoded chunk by chunk, on a device all that are needed at once. Threads may use it
    at the same time."""

    def __init__(self, nodes: Topology, tree: TreeCoder, chunks: list[_Chunk], coding: Coding) -> None:
        super().__init__(**vars(nodes))
        self._tree, self._missing, self._coding, self._lock = tree, chunks, coding, threading.Lock()
        self._error: Exception | None = None

    def need(self, leaves: np.ndarray | None = None) -> None:
        """As Topology has it; what was raised once is raised again."""
        with self._lock:
            if self._error is not None:
                raise self._error
            needed = [leaves is None or bool(leaves[chunk.leaves].any()) for chunk in self._missing]
            chunks = [chunk for chunk, is_needed in zip(self._missing, needed, strict=True) if is_needed]
            try:
                for chunk, masks in zip(chunks, self._decode(chunks), strict=True):
                    self.leaf_active[chunk.leaves] = masks
            except Exception as error:
                self._error = error
                raise
            self._missing = [chunk for chunk, is_needed in zip(self._missing, needed, strict=True) if not is_needed]

    def _decode(self, chunks: list[_Chunk]) -> Iterable[np.ndarray]:
        threads = self._coding.threads
        if self._coding.device is None or not chunks:
            return on_threads(self._masks, chunks, threads)
        tasks = list(on_threads(lambda chunk: self._tree.leaf_task(chunk.leaves, None), chunks, threads))
        masks = _on_device(self._coding.device, self._coding.implementation)
        return masks.decode([chunk.decoder.coder for chunk in chunks], tasks)

    def _masks(self, chunk: _Chunk) -> np.ndarray:
        masks = self._tree.code_leaves(chunk.decoder.code, chunk.leaves, None)
        chunk.decoder.coder.finish()
        return masks
