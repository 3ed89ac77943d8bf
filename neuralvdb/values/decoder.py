"""Lossy values from their sections: all of a grid, what lies in a box, or a coarser grid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from neuralvdb.archive import open_table
from neuralvdb.dataclass import dataclass
from neuralvdb.settings import Box
from neuralvdb.topology import Topology
from neuralvdb.topology.chunks import LeafGroup, group_leaves
from neuralvdb.values import outliers
from neuralvdb.values.chunk_decoder import ChunkDecoder, HostDecoder
from neuralvdb.values.chunk_sections import ChunkReader, ChunkSections
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.head import take_head, take_networks
from neuralvdb.values.lattice import chunks, tables
from neuralvdb.values.lattice.cells import cell_of, cells_of_leaves
from neuralvdb.values.lattice.constants import LAYERS, ROWS_AT_A_TIME
from neuralvdb.values.lattice.correction_network import CorrectionNetwork
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import pieces
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.reference import Correction, ReferenceValues
from neuralvdb.values.lossless import by_component, raw_size, take_tree_without_leaves
from neuralvdb.values.model_file import find_models
from neuralvdb.values.outliers import Index, Outliers, apply_outliers, placed
from neuralvdb.volume.grid import Tree, unpack
from neuralvdb.volume.regions import sampled_masks, touched

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ValuesSource:
    """What the lossy values of a grid are decoded from.

    payload: of its VALS section.
    chunks: payloads of its TILE sections by number, read on access.
    topology: of the grid; with a box, leaves are decoded as they are needed.
    dtype: of a value's components.
    components: of a value.
    declared: bytes that all values take.
    where: names the grid in errors.
    scattered: whether thin boxes of leaves are cut into blocks.
    """

    payload: bytes
    chunks: Mapping[int, bytes]
    topology: Topology
    dtype: np.dtype
    components: int
    declared: int
    where: str
    scattered: bool = False

    @classmethod
    def of(cls, coded: CodedValues, where: str) -> ValuesSource:
        """The source of values that have just been encoded."""
        leaves = by_component(coded.tree.leaf)
        return cls(
            payload=coded.payload,
            chunks=coded.chunks,
            topology=Topology.of(coded.tree),
            dtype=leaves.dtype,
            components=leaves.shape[2],
            declared=raw_size(coded.tree),
            where=where,
            scattered=coded.scattered,
        )


class ModelsOf(Protocol):
    """Finds model sets, as model_file.find_models() does."""

    def __call__(self, identity: bytes, where: str) -> ModelSet:
        """The model set of an identity. Raises MissingPriors, naming `where`."""


class Refer(Protocol):
    """Says what a reference has to say of a tree."""

    def __call__(self, tree: Tree, /) -> np.ndarray:
        """float64 of the shape of the leaves' values. Raises DamagedFile."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """What is decoded, with which networks, and where.

    box: only chunks that meet it are read and decoded; None for all.
    threads: on the CPU.
    models_of: finds the networks that a payload needs.
    implementation: of predictors or kernels.
    devices: to decode on, such as "cuda:0"; none for the CPU.
    refer: what a reference says of leaves, for values that are coded with one.
    """

    box: Box | None = None
    threads: int = 1
    models_of: ModelsOf = find_models
    implementation: str = "native"
    devices: Sequence[str] = ()
    refer: Refer | None = None


class LeafCells(NamedTuple):
    """Cells of leaves: values (N, M, C) and active (N, M) bool."""

    values: np.ndarray
    active: np.ndarray


class ValuesDecoder:
    """The values of a grid. Raises DamagedFile where payloads break the format or the values do not take the declared
    bytes, and MissingPriors.

    promise: what is promised of them.
    tree: has everything but the active values of leaves; with a box, it has only the leaves of chunks that meet it.
    """

    def __init__(self, source: ValuesSource, options: DecodeOptions = DecodeOptions()) -> None:
        fields = open_table(source.payload, source.where)
        head = take_head(fields)
        self.promise = head.promise
        ranges = self.promise.ranges
        if len(ranges) != source.components or not all(ends.fits(source.dtype) for ends in ranges):
            raise fields.damaged("the range of its values is not of their type")
        if (head.correction is None) != (options.refer is None):
            raise fields.damaged("values have a correction without a reference, or a reference without a correction")
        models = options.models_of(head.models, source.where)
        self._networks = take_networks(fields, head, models, source.where)
        self._sections = ChunkSections(
            payloads=source.chunks,
            components=source.components,
            tables=tables.tables_of(head.table_rows, models.freq),
            where=source.where,
            threads=options.threads,
        )
        origins = source.topology.leaf_origins()
        self._groups: dict[int, LeafGroup] = dict(enumerate(group_leaves(origins, scattered=source.scattered)))
        if any(section >= LAYERS * len(self._groups) for section in source.chunks):
            raise fields.damaged("it has sections for chunks that it does not have")
        keep = None if options.box is None else self._keep_groups(touched(origins, options.box))
        self.tree, self._inactive = take_tree_without_leaves(
            fields, source.topology, source.dtype, source.components, source.declared, keep
        )
        fields.finish()
        on_host = not options.devices
        are_seen = head.correction is not None or self.promise.mode.lattice is LatticeKind.SAMPLE
        if on_host and are_seen:
            self._inactive.restore(self.tree.leaf)
        if on_host and head.correction is not None:
            self._clear_active()
        self._lacks_inactive = on_host and not are_seen
        self._decoder = self._chunk_decoder(options, head.correction)

    def decode(self) -> Tree:
        """The tree with all values."""
        if self._lacks_inactive:
            self._inactive.restore(self.tree.leaf)
        values = by_component(self.tree.leaf)
        for reader in self._decoder.fill(values, self._readers()):
            apply_outliers(values, reader.chunk.leaves, self._outliers(reader))
        return self.tree

    def tensor(self) -> torch.Tensor:
        """The values (N, 512, C) of all leaves on the first of the devices; `tree` stays as it is.

        Raises DamagedFile, OutOfMemory.
        """
        from torch import as_tensor

        from neuralvdb.values.device.decoder import DeviceDecoder

        assert isinstance(self._decoder, DeviceDecoder)
        readers = list(self._readers())
        values = self._decoder.values(readers)

        def on_device(index: Index) -> tuple[torch.Tensor, ...]:
            return tuple(as_tensor(numbers, device=values.device) for numbers in index)

        for reader in readers:
            outliers_of_chunk = placed(
                lambda index: values[on_device(index)].cpu().numpy(), reader.chunk.leaves, self._outliers(reader)
            )
            for index, exact in outliers_of_chunk:
                values[on_device(index)] = as_tensor(exact, device=values.device)
        return values

    def cells(self, lod: int) -> LeafCells:
        """The leaves' cells of 2**lod voxels; finer layers are not read.

        Of the mean lattice: means of a cell's active voxels. Of the sample lattice: its first voxel. Where a cell is
        not active, its first voxel stands.
        """
        cells = LeafCells(self._inactive.sampled(self.tree.leaf, lod), sampled_masks(self.tree.leaf.active, lod))
        with contextlib.closing(self._decoder.cells(self._readers(), lod)) as each:
            for decoded in each:
                chunk, component = decoded.reader.chunk, decoded.component
                lattice_values, active = cells_of_leaves(decoded.cells, chunk.cells, lod)
                values = self.promise.decoded(lattice_values, cells.values.dtype, component)
                inactive = cells.values[chunk.leaves, :, component]
                cells.values[chunk.leaves, :, component] = np.where(active, values, inactive)
                cells.active[chunk.leaves] = active
                if component == self._sections.components - 1:
                    self._apply_to_cells(cells.values, decoded.reader, lod)
        return cells

    def _apply_to_cells(self, values: np.ndarray, reader: ChunkReader, lod: int) -> None:
        """Puts outliers of a chunk that are samples into `values` (N, M, C); means have none."""
        missed = self._outliers(reader)
        if self.promise.mode.lattice is LatticeKind.MEAN:
            return
        for component, stored in enumerate(missed):
            cell, first = cell_of(stored.voxel, lod)
            leaf = reader.chunk.leaves[stored.leaf]
            exact = stored.values(values[leaf, cell, component])
            values[leaf[first], cell[first], component] = exact[first]

    def _clear_active(self) -> None:
        """Gives the active voxels of the tree's leaves, of which a reference has something to say, the value 0."""
        values, masks = by_component(self.tree.leaf), self.tree.leaf.active
        for leaves in pieces(len(masks), ROWS_AT_A_TIME):
            np.copyto(values[leaves], 0, where=unpack(masks[leaves])[..., None])

    def _chunk_decoder(self, options: DecodeOptions, correction: Correction | CorrectionNetwork | None) -> ChunkDecoder:
        reference = None
        if correction is not None:
            assert options.refer is not None
            reference = ReferenceValues.over(self.tree, options.refer(self.tree), correction)
        if not options.devices:
            return HostDecoder(
                self.tree,
                self.promise,
                self._networks,
                threads=options.threads,
                implementation=options.implementation,
                reference=reference,
            )
        from neuralvdb.values.device.decoder import DeviceDecoder

        return DeviceDecoder(
            tree=self.tree,
            inactive=self._inactive,
            promise=self.promise,
            networks=self._networks,
            tables=self._sections.tables,
            components=self._sections.components,
            reference=reference,
            devices=options.devices,
            implementation="triton" if options.implementation == "native" else options.implementation,
        )

    def _keep_groups(self, touches: np.ndarray) -> np.ndarray:
        """(leaves,) bool: those of chunks with a leaf that `touches` (leaves,) bool; other chunks are forgotten."""
        groups = {number: group for number, group in self._groups.items() if touches[group.leaves].any()}
        keep = np.zeros(len(touches), bool)
        for group in groups.values():
            keep[group.leaves] = True
        number_of = np.cumsum(keep) - 1
        self._groups = {number: replace(group, leaves=number_of[group.leaves]) for number, group in groups.items()}
        return keep

    def _readers(self) -> Iterator[ChunkReader]:
        boxes = chunks.chunks_of(self.tree, list(self._groups.values()))
        for number, chunk in zip(self._groups, boxes, strict=True):
            yield ChunkReader(self._sections, number, chunk)

    def _outliers(self, reader: ChunkReader) -> list[Outliers]:
        """Those of each component of a chunk."""
        source, dtype = reader.outliers, self.tree.leaf.values.dtype
        active = unpack(self.tree.leaf.active[reader.chunk.leaves]).reshape(-1)
        missed = [outliers.take(source, self.promise, active, dtype) for _ in range(self._sections.components)]
        source.finish()
        return missed
