"""From sections to grids. Needs nothing that only the encoder needs, and OpenVDB for boxes and coarser grids only."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import values
from neuralvdb.archive import FieldReader, SectionReader, take_array
from neuralvdb.codec.frame_table import GridHead, content_hash
from neuralvdb.codec.grid_reference import GridAt
from neuralvdb.codec.grid_sections import GridSections
from neuralvdb.codec.models import ModelStore
from neuralvdb.codec.pruning import derive_mask, derive_mask_on_device
from neuralvdb.codec.store import DecodedStore, SharedTree
from neuralvdb.dataclass import dataclass
from neuralvdb.devices import Devices
from neuralvdb.errors import DamagedFile, PromiseBroken, naming
from neuralvdb.settings import Box
from neuralvdb.topology import Topology
from neuralvdb.volume import Storage, Tree, VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind
from neuralvdb.volume.grid import TREE_TYPES
from neuralvdb.volume.regions import averaged, sampled

if TYPE_CHECKING:
    import torch

    from neuralvdb.values import ValuesDecoder


@dataclass(frozen=True)
class DecodedLeaves:
    """A tree with its leaves on a device: masks (N, 64) uint8 and values (N, 512, C). The tree's own leaf values may
    not be valid."""

    tree: Tree
    masks: torch.Tensor
    values: torch.Tensor


class GridDecoder:
    """Decodes grids of a frame. Threads may decode at the same time.

    devices: where lossy values are decoded.
    """

    def __init__(
        self,
        archive: SectionReader,
        index: GridSections,
        store: DecodedStore,
        models: ModelStore,
        devices: Devices,
    ) -> None:
        self._archive, self._index, self._store = archive, index, store
        self._models, self._devices = models, devices
        self.before: dict[GridAt, Tree] = {}
        """Trees which grids are decoded from: of other frames all, of this one those that need not be decoded."""
        self._means: dict[int, bool] = {}  # of has_means()

    def read(self, number: int, box: Box | None = None, lod: int = 0, threads: int = 1) -> VolumeGrid:
        """The grid of a number, or what lies in `box`, or a coarser grid (as in neuralvdb.volume.regions).

        Raises DamagedFile, MissingPriors, OutOfMemory, PromiseBroken where it is not what was stored.
        """
        self._check_memory(number)
        if box is None and not lod:
            return self._read_whole(number, threads)
        from neuralvdb.vdb.regions import clip

        grid = self._read_coarser(number, box, lod, threads) if lod else self._read_near(number, box, threads)
        return grid if box is None else clip(grid, box.coarse(lod))

    def leaves(self, number: int, threads: int = 1) -> DecodedLeaves:
        """The tree of a grid with its leaves on the first device.

        Where values were decoded there, the content is not compared with what was stored. Raises what read() does.
        """
        from torch import from_numpy

        head, device = self._head(number), self._devices.first
        gpus = self._devices.of(self._index.section("VALS", number).raw_size)
        if not gpus or self._store.head(number) is None:
            tree = self.read(number, threads=threads).tree
            assert tree is not None
            masks, voxels = (
                from_numpy(a.copy()).to(device) for a in (tree.leaf.active, values.by_component(tree.leaf))
            )
            return DecodedLeaves(tree, masks, voxels)
        self._check_memory(number)
        decoder = self._values_decoder(number, None, threads)
        masks, voxels = from_numpy(decoder.tree.leaf.active.copy()).to(device), decoder.tensor()
        if head.pruned is not None:
            masks, voxels = derive_mask_on_device(decoder.tree.root.background, masks, voxels)
        return DecodedLeaves(decoder.tree, masks, voxels)

    def mask(self, number: int) -> Topology:
        """What is active in a grid that travels as arrays or shares the tree of one. Raises what read() does."""
        source = self._index.source(number)
        if self._head(source).pruned is None:
            return self._store.topology(source)

        def derive() -> Topology:
            tree = self.read(source).tree
            assert tree is not None
            return Topology.of(tree)

        return self._store.derived(source, derive)

    def has_means(self, number: int) -> bool:
        """Whether a coarser grid that travels as arrays has means rather than samples. Raises DamagedFile."""
        if number not in self._means:
            coded, head = self._store.head(number), self._head(number)
            with naming(f"grid '{head.name}'"):
                self._means[number] = (
                    field_kind(head) is not FieldKind.LEVEL_SET
                    if coded is None
                    else coded.promise.mode.lattice is values.LatticeKind.MEAN
                )
        return self._means[number]

    def _read_whole(self, number: int, threads: int) -> VolumeGrid:
        """All of a grid, compared with what was stored."""
        head = self._head(number)
        grid = empty_grid(head)

        def decode() -> SharedTree:
            tree = self._lossy(number, None, threads) if self._is_lossy(number) else self._lossless(number, threads)
            return SharedTree(tree, content_hash(replace(grid, tree=tree)))

        if head.storage is Storage.TREE:
            shared = self._store.tree(number, decode)
            grid.tree, content = shared.tree, shared.content
        else:
            grid.blob = b"" if head.storage is Storage.INSTANCE else self._read_blob(number)
            content = content_hash(grid)
        if not head.is_of(content):
            raise PromiseBroken(f"{self._index.path}: grid '{head.name}' decodes to other values than were stored")
        return grid

    def _read_near(self, number: int, box: Box | None, threads: int) -> VolumeGrid:
        """At least what of a grid lies in the box."""
        if not self._is_lossy(number):
            return self._read_whole(number, threads)
        return replace(empty_grid(self._head(number)), tree=self._lossy(number, box, threads))

    def _read_coarser(self, number: int, box: Box | None, lod: int, threads: int) -> VolumeGrid:
        """At least what of a coarser grid lies in the box."""
        from neuralvdb.vdb.regions import coarse, coarse_transform

        if self._is_lossy(number):
            head, decoder = self._head(number), self._values_decoder(number, box, threads)
            means = decoder.promise.mode.lattice is values.LatticeKind.MEAN
            cells = decoder.cells(lod)
            grid = coarse(
                replace(empty_grid(head), tree=decoder.tree), cells.values, cells.active, lod, means=means, box=box
            )
            assert grid.tree is not None
            return grid if head.pruned is None else replace(grid, tree=derive_mask(grid.tree))
        grid = self._read_whole(number, threads)
        means = self.has_means(self._index.source(number))
        if grid.tree is None:
            return replace(grid, transform=coarse_transform(grid, lod, means=means))
        return coarse(grid, *(averaged if means else sampled)(grid.tree, lod), lod, means=means, box=box)

    def _is_lossy(self, number: int) -> bool:
        """Whether a grid is a tree, not every bit of whose values is kept. Raises DamagedFile."""
        return self._head(number).storage is Storage.TREE and self._index.section("VALS", number).codec != 0

    def _lossless(self, number: int, threads: int) -> Tree:
        section, where = self._index.section("VALS", number), self._index.where(number, "values")
        if self._index.chunks(number) or number in self._index.references:
            raise DamagedFile(
                f"{where}: sections of chunks, or a source, stand beside lossless values; get another copy"
            )
        dtype, components = _value_type(self._head(number), self._index.path)
        payload, topology = self._archive.read(section), self._store.topology(number, threads)
        return values.decode(payload, topology, dtype, components, section.raw_size, where)

    def _lossy(self, number: int, box: Box | None, threads: int) -> Tree:
        """The tree of a grid, with at least the leaves that meet the box."""
        tree = self._values_decoder(number, box, threads).decode()
        return tree if self._head(number).pruned is None else derive_mask(tree)

    def _values_decoder(self, number: int, box: Box | None, threads: int) -> ValuesDecoder:
        """The lossy values of a grid."""

        def tree_of(source: GridAt) -> Tree:
            is_given = source.frame or source in self.before
            tree = self.before[source] if is_given else self._read_whole(source.number, threads).tree
            assert tree is not None  # references are to trees only
            return tree

        section = self._index.section("VALS", number)
        dtype, components = _value_type(self._head(number), self._index.path)
        coded = self._index.read(section, "values")
        source = values.ValuesSource(
            payload=coded.payload,
            chunks=self._index.chunks(number),
            topology=self._store.topology(number, threads) if box is None else self._store.nodes(number, threads),
            dtype=dtype,
            components=components,
            declared=section.raw_size,
            where=self._index.where(number, "values"),
            scattered=coded.codec == values.SCATTERED,
        )
        refer = None
        if number in self._index.references:
            refer = partial(self._index.references[number].predict, tree_of=tree_of, threads=threads)
        options = values.DecodeOptions(
            box=box,
            threads=threads,
            models_of=self._models.models_of,
            devices=self._devices.of(section.raw_size),
            refer=refer,
        )
        return values.ValuesDecoder(source, options)

    def _read_blob(self, number: int) -> bytes:
        section = self._index.section("BLOB", number)
        source = FieldReader(self._archive.read(section), self._index.where(number, "data"))
        blob = take_array(source, np.dtype(np.uint8), section.raw_size).tobytes()
        source.finish()
        head = self._head(number)
        if head.block_offset > len(blob):
            raise DamagedFile(f"{self._index.path}: the values of grid '{head.name}' begin behind its end")
        return blob

    def _head(self, number: int) -> GridHead:
        return self._index.table.grids[number]

    def _check_memory(self, number: int) -> None:
        self._store.check_memory(self._index.memory(number), f"grid '{self._head(number).name}'")


def _value_type(head: GridHead, path: str) -> tuple[np.dtype, int]:
    """Type of a value's components, and how many they are. Raises DamagedFile where such grids have no arrays."""
    if head.grid_type not in TREE_TYPES:
        what = f"grid '{head.name}' has type {head.grid_type}, which has no arrays"
        raise DamagedFile(f"{path}: {what}; get another copy")
    return TREE_TYPES[head.grid_type]


def empty_grid(head: GridHead) -> VolumeGrid:
    """The grid of a table's entry, without its tree or bytes."""
    return VolumeGrid(
        unique_name=head.unique_name,
        grid_type=head.grid_type,
        half=head.half,
        storage=head.storage,
        parent=head.parent,
        metadata=head.metadata,
        transform=head.transform,
        block_offset=head.block_offset,
    )
