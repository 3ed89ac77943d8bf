"""From sections to grids. Needs nothing that only the encoder needs."""

from __future__ import annotations

import functools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import topology, values
from neuralvdb.archive import NO_GRID, ArchiveReader, FieldReader, Section, take_array
from neuralvdb.archive.formats import form_of, is_readable
from neuralvdb.codec.frame_table import Frame, GridHead, content_hash
from neuralvdb.codec.pruning import pruned, pruned_leaves
from neuralvdb.errors import DamagedFile, InputError, MissingPriors, OutOfMemory, PromiseBroken
from neuralvdb.settings import Box, Settings
from neuralvdb.topology import Topology
from neuralvdb.values.decoder import Reader
from neuralvdb.values.head import ValuesHead, read_head
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lossless import by_component
from neuralvdb.values.model_file import find_models, models_in, read_models
from neuralvdb.values.promise import Promise
from neuralvdb.vdb import describe_metadata
from neuralvdb.vdb.regions import clip, coarse, coarse_transform
from neuralvdb.volume import Storage, Tree, VolumeGrid
from neuralvdb.volume.grid import TREE_TYPES
from neuralvdb.volume.regions import averaged, sampled

if TYPE_CHECKING:
    import torch


class _Tiles(Mapping[int, bytes]):
    """Payloads of a grid's TILE sections by part, read when they are looked up."""

    def __init__(self, archive: ArchiveReader, sections: dict[int, Section], where: str) -> None:
        self._archive, self._sections, self._where = archive, sections, where

    def __getitem__(self, part: int) -> bytes:
        if part not in self._sections:
            raise DamagedFile(f"{self._where}: section TILE number {part} is missing; get another copy of the archive")
        return self._archive.read(self._sections[part])

    def __contains__(self, part: object) -> bool:
        return part in self._sections

    def __iter__(self) -> Iterator[int]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


class FrameReader:
    """One frame of an archive: its table at once, its grids on demand. Raises what ArchiveReader raises.

    library: priors that it may need beside those shipped and those that it carries. devices: where lossy values and, on
    the first, topologies are decoded, such as "cuda:0", none for the CPU.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame: int = 0,
        library: ModelSet | None = None,
        *,
        devices: tuple[str, ...] = (),
    ) -> None:
        self._library, self._lock, self.devices = library, threading.Lock(), devices
        self.archive = ArchiveReader(path, is_readable)
        self.path = self.archive.path
        try:
            self._sort(frame)
            section = self._section("FRAM", NO_GRID)
            self.table = Frame.unpack(self.archive.read(section), section.raw_size, f"{self.path}: frame {frame}")
        except BaseException:
            self.close()
            raise

    def _sort(self, frame: int) -> None:
        """Sections of the frame by kind and grid, tiles by grid and part."""
        self._sections: dict[tuple[str, int], Section] = {}
        self._tiles: dict[int, dict[int, Section]] = defaultdict(dict)
        for section in self.archive.sections:
            tile = section.kind == "TILE"
            if form_of(section.kind).of_frame != (section.grid == NO_GRID) or (section.part and not tile):
                raise DamagedFile(
                    f"{self.path}: section {section.kind} cannot be part {section.part} of grid {section.grid}"
                )
            if section.frame == frame:
                found = self._tiles[section.grid] if tile else self._sections
                if found.setdefault(section.part if tile else (section.kind, section.grid), section) is not section:
                    raise DamagedFile(f"{self.path}: section {section.kind} of grid {section.grid} occurs twice")

    def _section(self, kind: str, grid: int) -> Section:
        try:
            return self._sections[kind, grid]
        except KeyError:
            if {section.kind for section in self.archive.sections} == {"PRIO"}:
                raise InputError(f"{self.path}: holds priors and no volumes; name it with --priors") from None
            what = "its table" if grid == NO_GRID else f"section {kind} of grid '{self.table.grids[grid].name}'"
            raise DamagedFile(f"{self.path}: {what} is missing; the archive is damaged, get another copy") from None

    def sizes(self, grid: int) -> dict[str, int]:
        """{section kind: stored bytes} of a grid; what it shares with others counts for the first of them."""
        found = {kind: s.size for (kind, owner), s in self._sections.items() if owner == grid and not s.shared}
        if grid in self._tiles:
            found["TILE"] = sum(s.size for s in self._tiles[grid].values() if not s.shared)
        return found

    def memory(self, grid: int) -> int:
        """Bytes that the decoded grid takes."""
        head = self.table.grids[grid]
        kinds = (("TOPO", head.topology_of), ("VALS", grid), ("BLOB", grid))
        return sum(self._sections[key].raw_size for key in kinds if key in self._sections)

    def read(self, index: int, box: Box | None = None, lod: int = 0, threads: int = 1) -> VolumeGrid:
        """The grid number `index`, or what lies in `box`, or a coarser grid (as in neuralvdb.volume.regions).

        Raises DamagedFile, OutOfMemory, PromiseBroken where it is not what was stored.
        """
        head = self.table.grids[index]
        need, there = self.memory(index), physical_memory()
        if need > there:
            raise OutOfMemory(f"{self.path}: grid '{head.name}' takes {need} bytes of memory; this machine has {there}")
        grid = VolumeGrid(
            head.unique_name,
            head.grid_type,
            head.half,
            head.storage,
            head.parent,
            head.metadata,
            head.transform,
            block_offset=head.block_offset,
        )
        if head.storage is Storage.TREE:
            grid = self._read_tree(grid, head, index, box, lod, threads)
            return grid if box is None else clip(grid, box.coarse(lod))
        if head.storage is not Storage.INSTANCE:
            grid.blob = self._read_blob(head, index)
            if head.block_offset > len(grid.blob):
                raise DamagedFile(f"{self.path}: the values of grid '{head.name}' begin behind its end")
        self._check(grid, head)
        if lod:
            grid.transform = coarse_transform(grid, lod, means=self.has_means(self.parent(index)))
        return grid if box is None else clip(grid, box.coarse(lod))

    def leaves(self, index: int, threads: int = 1) -> tuple[Tree, torch.Tensor, torch.Tensor]:
        """A tree of grid `index`, and its leaves on the first device: masks (N, 64) uint8 and values (N, 512, C).

        Where they were decoded there, the tree's own leaf values are not valid and the content is not compared with
        what was stored. Raises what read() does.
        """
        from torch import from_numpy

        head, device = self.table.grids[index], self.devices[0] if self.devices else "cpu"
        if self.devices and self.promise(index) is not None:
            if self.memory(index) > physical_memory():
                raise OutOfMemory(f"{self.path}: grid '{head.name}' takes {self.memory(index)} bytes of memory")
            reader = self._reader(head, index, None, threads)
            masks, found = from_numpy(reader.tree.leaf.active.copy()).to(device), reader.tensor()
            return reader.tree, *((masks, found) if head.pruned is None else pruned_leaves(reader.tree, masks, found))
        tree = self.read(index, threads=threads).tree
        assert tree is not None
        return tree, *(from_numpy(a.copy()).to(device) for a in (tree.leaf.active, by_component(tree.leaf)))

    def mask(self, index: int) -> Topology:
        """What is active in a grid that travels as arrays or shares the tree of one. Raises what read() does."""
        index = self.source(index)
        if self.table.grids[index].pruned is None:
            return self.topology(index)
        tree = self.read(index).tree
        assert tree is not None
        return Topology.of(tree)

    def source(self, index: int) -> int:
        """The number of the grid that has the tree of grid `index`. Raises DamagedFile."""
        return self.parent(index) if self.table.grids[index].storage is Storage.INSTANCE else index

    def parent(self, index: int) -> int:
        """The number of the grid whose tree an instance shares. Raises DamagedFile."""
        head = self.table.grids[index]
        found = [i for i, other in enumerate(self.table.grids) if other.unique_name == head.parent]
        if not found:
            raise DamagedFile(f"{self.path}: grid '{head.name}' shares the tree of a grid that is not there")
        return found[0]

    def has_means(self, index: int) -> bool:
        """Whether a coarser grid that travels as arrays has means rather than samples. Raises DamagedFile."""
        promise = self.promise(index)
        if promise is not None:
            return promise.mode.lattice is LatticeKind.MEAN
        return describe_metadata(self.table.grids[index].metadata).get("class", ("", ""))[1] != "level set"

    def topology(self, index: int, threads: int = 1) -> Topology:
        """The topology of a grid that travels as arrays, before it is pruned. Raises DamagedFile, OutOfMemory."""
        head = self.table.grids[index]
        section = self._section("TOPO", head.topology_of)
        base_of = lambda number: self._base(number, section)  # noqa: E731
        return self._masks(section, self._where(head, "topology"), base_of, threads)

    def _base(self, number: int, section: Section) -> Topology:
        """The topology of grid `number`, from which that in `section` is decoded."""
        base = self._sections.get(("TOPO", number))
        if base is None or base.codec == 2 or number >= section.grid:
            raise DamagedFile(f"{self.path}: a topology builds on one that is not there; get another copy")
        if base.raw_size > physical_memory():
            raise OutOfMemory(f"{self.path}: a topology takes {base.raw_size} bytes of memory")
        return self._masks(base, f"{self.path}: topology {number}")

    def _masks(
        self, section: Section, where: str, base_of: Callable[[int], Topology] | None = None, threads: int = 1
    ) -> Topology:
        payload = self.archive.read(section)
        options = {"threads": threads, "device": self.devices[0] if self.devices else None}
        return topology.decode(section.codec, payload, section.raw_size, where, base_of, **options)

    def promise(self, index: int) -> Promise | None:
        """What is promised of a grid, None where every bit is. Raises DamagedFile."""
        head = self.head(index)
        return None if head is None else head.promise

    def head(self, index: int) -> ValuesHead | None:
        """How the values of a grid are coded, None where every bit is kept. Raises DamagedFile."""
        section = self._sections.get(("VALS", index))
        if section is None or section.codec == 0:
            return None
        return read_head(self.archive.read(section), self._where(self.table.grids[index], "values"))

    def described(self, index: int) -> dict[str, object] | None:
        """What is promised of a grid and by which networks, for people and JSON; None where every bit is kept.

        fast: whether the networks have no hidden layers, None where they are not there. Raises DamagedFile.
        """
        coded = self.head(index)
        if coded is None:
            return None
        try:
            fast = self.library_of(coded.models, self.path).fast
        except MissingPriors:
            fast = None
        networks = {"priors": coded.models.hex(), "refined": coded.fine_tuned, "fast": fast}
        return {**coded.promise.described(), **networks}

    def library_of(self, identity: bytes, where: str) -> ModelSet:
        """The priors of that identity. Raises MissingPriors, DamagedFile."""
        if (shipped := priors.known(identity)) is not None:
            return shipped
        with self._lock:
            return find_models(identity, where, (self._library, self._carried))

    @functools.cached_property
    def _carried(self) -> ModelSet | None:
        return models_in(self.archive)

    def _read_tree(
        self, grid: VolumeGrid, head: GridHead, index: int, box: Box | None, lod: int, threads: int
    ) -> VolumeGrid:
        if head.grid_type not in TREE_TYPES:
            raise DamagedFile(f"{self.path}: grid '{head.name}' has type {head.grid_type}, which has no arrays")
        section, where = self._section("VALS", index), self._where(head, "values")
        tiles = _Tiles(self.archive, self._tiles.get(index, {}), where)
        if section.codec == 1:
            reader = self._reader(head, index, box, threads)
            grid.tree = reader.tree if lod else reader.voxels()
            if lod:
                grid = coarse(grid, *reader.cells(lod), lod, means=reader.promise.mode.lattice is LatticeKind.MEAN)
            if head.pruned is not None:
                grid.tree = pruned(grid.tree)
            if lod:
                return grid
        elif tiles:
            raise DamagedFile(f"{where}: sections of domains stand beside lossless values; get another copy")
        else:
            place = (self.topology(index, threads), *TREE_TYPES[head.grid_type], section.raw_size, where)
            grid.tree = values.decode(self.archive.read(section), *place)
        if box is None or section.codec == 0:
            self._check(grid, head)
        if lod:
            means = self.has_means(index)
            return coarse(grid, *(averaged if means else sampled)(grid.tree, lod), lod, means=means)
        return grid

    def _reader(self, head: GridHead, index: int, box: Box | None, threads: int) -> Reader:
        """The lossy values of a grid."""
        section, where = self._section("VALS", index), self._where(head, "values")
        tiles = _Tiles(self.archive, self._tiles.get(index, {}), where)
        place = (self.topology(index, threads), *TREE_TYPES[head.grid_type], section.raw_size, where)
        options = {"threads": threads, "library_of": self.library_of, "devices": self.devices}
        return Reader(self.archive.read(section), tiles, *place, box=box, **options)

    def _check(self, grid: VolumeGrid, head: GridHead) -> None:
        if content_hash(grid) != head.content:
            raise PromiseBroken(f"{self.path}: grid '{head.name}' decodes to other values than were stored")

    def _read_blob(self, head: GridHead, index: int) -> bytes:
        section = self._section("BLOB", index)
        source = FieldReader(self.archive.read(section), self._where(head, "data"))
        blob = take_array(source, np.dtype(np.uint8), section.raw_size).tobytes()
        source.finish()
        return blob

    def _where(self, head: GridHead, part: str) -> str:
        return f"{self.path}: {part} of grid '{head.name}'"

    def close(self) -> None:
        """Closes the archive."""
        self.archive.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def models_for(settings: Settings) -> ModelSet | None:
    """The priors of settings.priors, None where there are none. Raises InputError, DamagedFile, Unsupported."""
    return read_models(settings.priors) if settings.priors else None


def decode_grids(
    frame: FrameReader, selected: list[int], *, threads: int, box: Box | None = None, lod: int = 0
) -> Iterator[VolumeGrid]:
    """The selected grids in order, each as read() gives it; decoding runs ahead by `threads` - 1 grids.

    A single grid is decoded by all threads.
    """
    inner = threads if len(selected) == 1 else 1
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[VolumeGrid]] = []
        for index in selected:
            waiting.append(pool.submit(frame.read, index, box, lod, inner))
            if len(waiting) >= threads:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
