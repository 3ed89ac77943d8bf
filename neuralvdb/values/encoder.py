"""Leaf values under a promise: VALS, codec 1, and TILE sections (layout in archive/SPEC.md; reading in decoder.py)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Protocol

import numpy as np

from neuralvdb.archive import FieldWriter, pack_table
from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.picture import Sums, measured_t_psnr_of, ray_sums
from neuralvdb.platform import return_memory
from neuralvdb.threads import on_threads, run_in_order
from neuralvdb.topology.chunks import is_scattered
from neuralvdb.values import chunk_sections, outliers
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.head import ValuesHead, put_head
from neuralvdb.values.lattice import chunks, network_changes, priors, tables
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent
from neuralvdb.values.lattice.coding import Observer
from neuralvdb.values.lattice.constants import LAYERS
from neuralvdb.values.lattice.lattice import Lattice, lattice_of
from neuralvdb.values.lattice.network_changes import NetworkChanges
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.leaf_values import LeafValues
from neuralvdb.values.lossless import by_component, put_tree_without_voxels
from neuralvdb.values.mending import PictureBound, voxels_to_mend
from neuralvdb.values.outliers import ChunkOutliers, Voxels
from neuralvdb.values.promise import Promise
from neuralvdb.values.value_range import ranges_of
from neuralvdb.volume.grid import LEAF_SLOTS, LeafLevel, Tree, leaf_origins

_FREE, _RESIDUALS = 8, 40  # voxels that mend a picture at most, and one more for so many residuals that are not 0
_LARGE = 1 << 16  # leaves, from which on residuals are packed: a hundredth of the time, a quarter of the memory


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """With which networks values are encoded, and where.

    models: networks and tables; None for those shipped.
    changes: to the networks of the promise's family.
    observer: sees every phase; only without devices.
    threads: on the CPU.
    implementation: of predictors or kernels.
    devices: to encode on, such as "cuda:0"; none for the CPU. The bytes are the same.
    reference: what predictions are corrected by.
    sums: of the tree along rays, where the promise has a picture; None where they are not known.
    """

    models: ModelSet | None = None
    changes: NetworkChanges = field(default_factory=dict)
    observer: Observer | None = None
    threads: int = 1
    implementation: str = "native"
    devices: Sequence[str] = ()
    reference: ReferenceValues | None = None
    sums: Sums | None = None


def encode(tree: Tree, promise: Promise, options: EncodeOptions = EncodeOptions()) -> CodedValues:
    """The values of a tree under a promise; a picture may lack more than is mended.

    Raises ValueError where sums of a changed network might not be exact, OutOfMemory where a device has too little.
    """
    models, family = options.models or priors.shipped(), promise.mode.family
    promise = replace(promise, ranges=ranges_of(tree, half=promise.mode.half, threads=options.threads))
    encoder = _tree_encoder(tree, promise, models, options)
    values, counts = encoder.encode()
    leaf = LeafLevel(tree.leaf.active, values.reshape(tree.leaf.values.shape))
    decoded = Tree(tree.root, tree.upper, tree.lower, leaf)
    picture = None
    if promise.bound.picture:
        bound = PictureBound(promised=promise.bound.picture, most=_FREE + int(counts[:, 1:].sum()) // _RESIDUALS)
        original = options.sums or ray_sums(tree, threads=options.threads)
        picture = _mended(encoder, tree, decoded, original, bound, options.threads)
    head = ValuesHead(
        promise=promise,
        models=models.identity,
        table_rows=tables.select_rows(counts, family, models.freq),
        fine_tuned=bool(options.changes),
        correction=None if options.reference is None else options.reference.correction,
    )
    donors = {change.donor for change in options.changes.values() if isinstance(change.donor, str)}
    return CodedValues(
        payload=_payload(tree, head, models, options),
        tree=decoded,
        chunks=encoder.sections(tables.tables_of(head.table_rows, models.freq)),
        head=head,
        families=frozenset({family} | donors),
        picture=picture,
        scattered=is_scattered(leaf_origins(tree)),
    )


def _mended(
    encoder: _TreeEncoder, tree: Tree, decoded: Tree, original: Sums, bound: PictureBound, threads: int
) -> float | None:
    """T-PSNR in dB of what a tree decodes to, once voxels are stored exactly where that makes it what is promised.

    original: sums of the tree.
    """
    sums = ray_sums(decoded, threads=threads)
    picture = measured_t_psnr_of(original, sums)
    if picture is None or picture >= bound.promised:
        return picture
    voxels = voxels_to_mend(tree, decoded, (original, sums), bound)
    if voxels is None:
        return picture
    encoder.store(voxels, by_component(decoded.leaf))
    return measured_t_psnr_of(original, ray_sums(decoded, threads=threads))


def sample_size(
    tree: Tree, chunk: Chunk, promise: Promise, models: ModelSet, reference: ReferenceValues | None = None
) -> int:
    """Bytes, nearly, that a sample of a tree takes."""
    family = promise.mode.family
    lattice = _lattice(promise, Predictor(models.families[family].networks), models.freq)
    buffers = [SymbolBuffer() for _ in range(LAYERS)]
    for component in range(by_component(tree.leaf).shape[2]):
        of_component = None if reference is None else reference.of(tree, chunk, component)
        lattice.encode(ChunkComponent.of(tree, chunk, component), buffers, reference=of_component)
    rows = tables.select_rows(_counts(buffers), family, models.freq)
    file_tables = tables.tables_of(rows, models.freq)
    return sum(buffer.size(file_tables) for buffer in buffers)


class _TreeEncoder(Protocol):
    """Encodes a tree in two steps, on the CPU or on devices."""

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, 512, C) of all leaves as they decode, and how often each symbol of each scale class occurs,
        (64, 64) int64."""

    def store(self, voxels: Voxels, values: np.ndarray) -> None:
        """Stores voxels of scalar leaves exactly; values: as encode() gave them, which get the true ones there."""

    def sections(self, tables: Tables) -> dict[int, bytes]:
        """Payloads of TILE sections by number, coded with these tables; what encode() kept is forgotten."""


def _tree_encoder(tree: Tree, promise: Promise, models: ModelSet, options: EncodeOptions) -> _TreeEncoder:
    networks = network_changes.networks(promise.mode.family, models, options.changes)
    if not options.devices:
        threads = chunks.ChunkThreads.of(len(tree.leaf), options.threads)
        if options.observer is not None:  # which sees chunks in order
            threads = chunks.ChunkThreads(1, options.threads)
        predictor = Predictor(networks, threads=threads.each, implementation=options.implementation)
        lattice = _lattice(promise, predictor, models.freq, options.implementation)
        return _HostEncoder(tree, promise, lattice, threads, options)
    from neuralvdb.values.device.encoder import DeviceEncoder

    return DeviceEncoder(
        tree=tree,
        promise=promise,
        networks=networks,
        dead_zone=tables.dead_zones(promise.mode.family, models.freq),
        devices=options.devices,
        reference=options.reference,
        implementation="triton" if options.implementation == "native" else options.implementation,
    )


def _lattice(promise: Promise, predictor: Predictor, freq: np.ndarray, implementation: str = "native") -> Lattice:
    """What encodes components of chunks under a promise; freq: frequencies of a model set's tables."""
    return lattice_of(promise.mode.lattice)(
        quantiser=promise.quantiser,
        predictor=predictor,
        dead_zones=tables.dead_zones(promise.mode.family, freq),
        implementation=implementation,
    )


def _payload(tree: Tree, head: ValuesHead, models: ModelSet, options: EncodeOptions) -> bytes:
    """The payload of the VALS section."""
    out = FieldWriter(in_table=True)
    put_head(out, head)
    if options.changes:
        network_changes.put(out, head.promise.mode.family, models, options.changes)
    put_tree_without_voxels(out, tree, options.threads)
    return pack_table(out.getvalue())


@dataclass(frozen=True)
class _CodedChunk:
    """Residuals of a chunk by component and layer, its outliers, and counts (64, 64) of symbols by scale class."""

    buffers: list[list[SymbolBuffer]]
    counts: np.ndarray
    outliers: ChunkOutliers


class _HostEncoder:
    """Encodes a tree chunk by chunk on the CPU."""

    def __init__(
        self, tree: Tree, promise: Promise, lattice: Lattice, threads: chunks.ChunkThreads, options: EncodeOptions
    ) -> None:
        self._tree, self._promise, self._lattice, self._options = tree, promise, lattice, options
        self._threads = threads
        self._coded: list[_CodedChunk] = []

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        """As _TreeEncoder has it."""
        values = np.empty_like(by_component(self._tree.leaf))
        decoded = LeafValues(self._tree, self._promise, values, self._threads.each)
        counts, at_once = np.zeros_like(SymbolBuffer().counts), self._threads.at_once
        work = (functools.partial(self._encode_chunk, chunk, decoded) for chunk in chunks.chunks_of(self._tree))
        for coded in run_in_order(work, threads=at_once, most_waiting=at_once + 1):
            self._coded.append(coded)
            counts += coded.counts
        return decoded.values, counts

    def _encode_chunk(self, chunk: chunks.Chunk, decoded: LeafValues) -> _CodedChunk:
        """A chunk, whose values as they decode are put into `decoded`."""
        components, packs = range(decoded.values.shape[2]), len(self._tree.leaf) >= _LARGE
        buffers = [[SymbolBuffer(packs, self._threads.each) for _ in range(LAYERS)] for _ in components]
        for number in components:
            component = ChunkComponent.of(self._tree, chunk, number)
            reference = self._options.reference
            of_component = None if reference is None else reference.of(self._tree, chunk, number)
            lattice_values = self._lattice.encode(component, buffers[number], self._options.observer, of_component)
            return_memory(lattice_values.nbytes)
            decoded.fill(chunk, number, lattice_values)
            del lattice_values
        counts = np.sum([_counts(layers) for layers in buffers], axis=0)
        return _CodedChunk(buffers, counts, _put_outliers(decoded, chunk))

    def store(self, voxels: Voxels, values: np.ndarray) -> None:
        """As _TreeEncoder has it."""
        for number, coded in enumerate(self._coded):
            stored = coded.outliers.with_exact(voxels, self._promise, self._tree.leaf, values)
            self._coded[number] = replace(coded, outliers=stored)

    def sections(self, tables: Tables) -> dict[int, bytes]:
        """As _TreeEncoder has it."""
        chunk_count = len(self._coded)
        each = 1 if chunk_count > 1 else self._options.threads

        def payloads_of(number: int) -> list[tuple[int, bytes]]:
            coded = self._coded[number]
            coders = [[buffer.written(tables, each) for buffer in component] for component in coded.buffers]
            payloads = chunk_sections.pack(coders, coded.outliers.payload, each)
            return [(LAYERS * number + layer, payload) for layer, payload in payloads]

        of_chunks = on_threads(payloads_of, range(chunk_count), self._options.threads)
        sections = {number: payload for payloads in of_chunks for number, payload in payloads}
        self._coded.clear()
        return sections


def _counts(buffers: Sequence[SymbolBuffer]) -> np.ndarray:
    """(64, 64) int64: how often each symbol of each scale class occurs."""
    return np.sum([buffer.counts for buffer in buffers], axis=0)


def _put_outliers(decoded: LeafValues, chunk: Chunk) -> ChunkOutliers:
    """A chunk's active values that break the promise; `decoded` gets the values they will decode to."""
    out, promise, values, slots = FieldWriter(), decoded.promise, decoded.values, list[np.ndarray]()
    for component in range(values.shape[2]):
        leaves = ChunkComponent.of(decoded.tree, chunk, component)
        slot = decoded.broken(chunk, component)
        leaf, voxel = np.divmod(slot, LEAF_SLOTS)
        index = chunk.leaves[leaf], voxel, component
        values[index] = outliers.put(out, promise, slot, leaves.points(Points(leaf, voxel)), values[index])
        slots.append(slot)
    return ChunkOutliers(leaves=chunk.leaves, slots=slots, payload=out.getvalue())
