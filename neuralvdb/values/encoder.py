"""Leaf values under a promise: VALS, codec 1, and TILE sections (layout in archive/SPEC.md; reading in reader.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldWriter, pack_table
from neuralvdb.archive.rans import Tables
from neuralvdb.platform import return_memory
from neuralvdb.values import chunk_sections, outliers
from neuralvdb.values.head import ValuesHead, put_head
from neuralvdb.values.lattice import chunks, priors, tables
from neuralvdb.values.lattice.chunks import ChunkComponent
from neuralvdb.values.lattice.coding import Observer
from neuralvdb.values.lattice.constants import LAYERS, ROWS_AT_A_TIME
from neuralvdb.values.lattice.lattice import Lattice, lattice_of
from neuralvdb.values.lattice.levels import pieces
from neuralvdb.values.lattice.network_changes import NetworkChanges, networks
from neuralvdb.values.lattice.network_changes import put as put_changes
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lossless import by_component, put_shell
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import LEAF_SLOTS, Tree, TreeLevel

Domain = tuple[list[list[SymbolBuffer]], bytes]  # records by component and octave, and exceptions


def encode(
    tree: Tree,
    promise: Promise,
    *,
    library: ModelSet | None = None,
    refinement: NetworkChanges | None = None,
    observer: Observer | None = None,
    threads: int = 1,
    implementation: str = "native",
    devices: Sequence[str] = (),
) -> tuple[bytes, dict[int, bytes], Tree]:
    """The payload of a VALS section, those of TILE sections by their number, and the tree as it decodes.

    library: of networks (default: those shipped), refinement: of those of the promise's family; observer: sees every
    phase on the way, on the CPU. devices: to encode on, such as "cuda:0", none for the CPU: the same bytes.
    Raises ValueError where a refinement's sums might not be exact, OutOfMemory where a device has too little.
    """
    library, refinement = library or priors.shipped(), refinement or {}
    nets = networks(promise.mode.family, library, refinement)
    if devices:
        from neuralvdb.values.device.encoder import DeviceEncoder

        dead = tables.dead_zones(promise.mode.family, library.freq)
        options = {"implementation": implementation} if implementation != "native" else {}
        encoder = DeviceEncoder(tree, promise, nets, dead, devices, **options)
    else:
        predictor = Predictor(nets, threads=threads, implementation=implementation)
        lattice = _lattice(promise, predictor, library.freq, implementation)
        encoder = _Encoder(tree, _Coder(promise, lattice, observer, threads))
    values, counts = encoder.encode()
    rows = tables.select_rows(counts, promise.mode.family, library.freq)
    table = FieldWriter()
    fine_tuned = bool(refinement)
    put_head(table, ValuesHead(promise=promise, models=library.identity, table_rows=rows, fine_tuned=fine_tuned))
    if fine_tuned:
        put_changes(table, promise.mode.family, library, refinement)
    put_shell(table, tree)
    leaf = TreeLevel(None, tree.leaf.active, values.reshape(tree.leaf.values.shape))
    decoded = Tree(tree.root, tree.upper, tree.lower, leaf)
    return pack_table(table.getvalue()), encoder.sections(tables.tables_of(rows, library.freq)), decoded


def sample_size(tree: Tree, promise: Promise, library: ModelSet, leaves: int) -> int:
    """Bytes, nearly, that so many neighbouring leaves take: what tells which family of networks suits a tree."""
    part = chunks.sample_chunk(tree, leaves)
    predictor = Predictor(library.families[promise.mode.family].networks)
    coder = _Coder(promise, _lattice(promise, predictor, library.freq))
    streams = [SymbolBuffer() for _ in range(LAYERS)]
    for component in range(by_component(tree.leaf).shape[2]):
        coder.encode(tree, part, component, streams)
    counts = sum(stream.counts for stream in streams)
    freq = tables.tables_of(tables.select_rows(counts, promise.mode.family, library.freq), library.freq)
    return sum(stream.written(freq).size for stream in streams)


def _lattice(promise: Promise, predictor: Predictor, freq: np.ndarray, implementation: str = "native") -> Lattice:
    """What codes components of chunks under a promise."""
    return lattice_of(promise.mode.lattice)(
        quantiser=promise.quantiser,
        predictor=predictor,
        dead_zones=tables.dead_zones(promise.mode.family, freq),
        implementation=implementation,
    )


@dataclass
class _Coder:
    """Codes components of chunks under a promise; arguments as in encode()."""

    promise: Promise
    lattice: Lattice
    observer: Observer | None = None
    threads: int = 1

    def encode(self, tree: Tree, part: chunks.Chunk, component: int, records: list[SymbolBuffer]) -> np.ndarray:
        """A component of a chunk to the buffers of its layers; gives its leaves' (B, 512) lattice values, decoded."""
        return self.lattice.encode(ChunkComponent.of(tree, part, component), records, self.observer)


class _Encoder:
    """Codes a tree domain by domain."""

    def __init__(self, tree: Tree, coder: _Coder) -> None:
        self._tree, self._coder = tree, coder
        self._coded: list[Domain] = []

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, 512, C) of all leaves as they decode, and how often each symbol of each class occurs, (64, 64)
        int64."""
        tree, promise = self._tree, self._coder.promise
        values = np.empty_like(by_component(tree.leaf))
        counts = np.zeros_like(SymbolBuffer().counts)
        for part in chunks.chunks_of(tree):
            records = [[SymbolBuffer() for _ in range(LAYERS)] for _ in range(values.shape[2])]
            for component, streams in enumerate(records):
                found = self._coder.encode(tree, part, component, streams)
                return_memory()
                store(found, tree, part, component, promise, values)
                del found
                counts += sum(stream.counts for stream in streams)
            self._coded.append((records, _exceptions(tree, part, values, promise)))
        return values, counts

    def sections(self, freq: Tables) -> dict[int, bytes]:
        """Payloads of TILE by number, once what was encoded has got its tables; it is forgotten."""
        found: dict[int, bytes] = {}
        for number in range(len(self._coded)):
            records, missed = self._coded.pop(0)
            coders = [[stream.written(freq) for stream in component] for component in records]
            for octave, payload in chunk_sections.pack(coders, missed, self._coder.threads):
                found[LAYERS * number + octave] = payload
        return found


def store(
    found: np.ndarray, tree: Tree, part: chunks.Chunk, component: int, promise: Promise, values: np.ndarray
) -> None:
    """Puts the values of a domain's leaves into `values` (N, 512, C): where active, those of lattice values `found`,
    elsewhere the tree's."""
    leaves = ChunkComponent.of(tree, part, component)
    for some in pieces(len(leaves), ROWS_AT_A_TIME):
        decoded = promise.values(found[some], values.dtype)
        values[part.leaves[some], :, component] = np.where(leaves.active(some), decoded, leaves.rows(some))


def _exceptions(tree: Tree, part: chunks.Chunk, values: np.ndarray, promise: Promise) -> bytes:
    """Every active value of a domain for which the promise does not hold, set right in `values`, too."""
    out = FieldWriter()
    for component in range(values.shape[2]):
        leaves = ChunkComponent.of(tree, part, component)
        found = [np.zeros(0, np.int64)]
        for some in pieces(len(leaves), ROWS_AT_A_TIME):
            x, y = leaves.rows(some), values[part.leaves[some], :, component]
            off = leaves.active(some) & ~promise.kept(x, y)
            found.append(np.flatnonzero(off) + some.start * off.shape[1])
        place = np.concatenate(found)
        row, voxel = np.divmod(place, LEAF_SLOTS)
        at = part.leaves[row], voxel, component
        values[at] = outliers.put(out, promise, place, leaves.points(Points(row, voxel)), values[at])
    return out.getvalue()
