"""From grids to sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from neuralvdb import topology, values
from neuralvdb.archive import ENTRY_SIZE, ArchiveWriter, FieldWriter, put_array
from neuralvdb.codec.bounds import promise_for
from neuralvdb.codec.cover import Cover, changed, cover_of
from neuralvdb.codec.frame import Frame, GridHead, head_of
from neuralvdb.codec.prune import pruned
from neuralvdb.codec.search import Coded, family_of, to_psnr
from neuralvdb.codec.shapes import Role, Shapes
from neuralvdb.settings import Settings
from neuralvdb.topology import Topology
from neuralvdb.values import lossy
from neuralvdb.values.promise import Promise
from neuralvdb.volume import Storage, Tree, VdbReader, VolumeGrid

Progress = Callable[[int], None]


@dataclass
class _Coded:
    """A grid ready to be written: its head and its sections as (kind, part, codec, payload, raw size)."""

    head: GridHead
    sections: list[tuple[str, int, int, bytes, int]]


def encode_frame(
    writer: ArchiveWriter,
    source: VdbReader,
    selected: list[int],
    settings: Settings,
    progress: Progress,
    frame: int = 0,
) -> Frame:
    """Writes the selected grids of `source` as frame number `frame` and gives its table.

    At most settings.threads grids are in memory beside the one being read. `progress` is called with bytes of
    the source as they are done. Raises DamagedFile and OutputError.
    """
    table = Frame(
        source.version,
        source.library,
        source.uuid,
        source.metadata,
        source.size,
        complete=len(selected) == len(source.entries),
    )
    for index, coded in enumerate(_encoded(source, selected, settings)):
        for kind, part, codec, payload, raw_size in coded.sections:
            writer.add(kind, payload, raw_size=raw_size, codec=codec, frame=frame, grid=index, part=part)
        table.grids.append(coded.head)
        progress(coded.head.source_size)
    payload, raw_size = table.pack()
    writer.add("FRAM", payload, raw_size=raw_size, frame=frame)
    return table


def _encoded(source: VdbReader, selected: list[int], settings: Settings) -> Iterator[_Coded]:
    """Coded grids in order; reading runs ahead of coding by settings.threads grids."""
    threads = settings.threads
    inner = replace(settings, threads=threads if len(selected) == 1 else 1)
    shapes = Shapes()
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[_Coded]] = []
        for index, number in enumerate(selected):
            entry = source.entries[number]
            size = entry.end_pos - entry.grid_pos
            grid = source.read(number)
            cover = cover_of(grid, settings)
            role = shapes.place(index, grid.tree if cover is None else cover.tree)
            waiting.append(pool.submit(_encode, grid, cover, size, index, role, inner))
            if len(waiting) > threads:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _encode(
    grid: VolumeGrid, cover: Cover | None, source_size: int, index: int, role: Role, settings: Settings
) -> _Coded:
    head = {"topology_of": role.owner}
    if grid.tree is not None:
        tree = grid.tree if cover is None else cover.tree
        coded = encode_values(grid, settings) if cover is None else encode_cover(cover, settings)
        sections = [
            ("VALS", 0, coded.codec, coded.payload, values.raw_size(tree)),
            *(("TILE", part, 0, payload, 0) for part, payload in coded.tiles.items()),
        ]
        if role.owner == index:
            shape = Topology.of(tree)
            sections.insert(0, ("TOPO", 0, *topology.encode(shape, role.base, threads=settings.threads), shape.nbytes))
        if cover is not None:
            head["pruned"] = changed(grid.tree, coded.tree)
        grid = replace(grid, tree=coded.tree)
    elif grid.storage is Storage.INSTANCE:
        sections = []
    else:
        out = FieldWriter()
        put_array(out, np.frombuffer(grid.blob, np.uint8))
        sections = [("BLOB", 0, 0, out.getvalue(), len(grid.blob))]
    return _Coded(replace(head_of(grid, source_size, index), **head), sections)


@dataclass
class CodedValues:
    """Values of a tree. codec and payload of VALS; tiles: payloads of TILE by part; tree: as they decode."""

    codec: int
    payload: bytes
    tiles: dict[int, bytes]
    tree: Tree

    @property
    def size(self) -> int:
        """Bytes of all sections and their entries in the index."""
        return len(self.payload) + sum(len(tile) + ENTRY_SIZE for tile in self.tiles.values())


def encode_values(grid: VolumeGrid, settings: Settings) -> CodedValues:
    """The values of a tree: under a bound if one is asked for and that is smaller than every bit."""
    assert grid.tree is not None
    exact = CodedValues(0, values.encode(grid.tree), {}, grid.tree)
    promise = promise_for(grid, settings)
    found = None if promise is None else _lossy(grid.tree, family_of(grid.tree, promise), settings.threads)
    if found is not None:
        coded = CodedValues(1, *found)
        if coded.size < exact.size:
            return coded
    return exact


def encode_cover(cover: Cover, settings: Settings) -> CodedValues:
    """The values of a cover, and the tree pruned to them."""
    promise = family_of(cover.tree, cover.promise)
    payload, tiles, tree = lossy.encode(cover.tree, promise, threads=settings.threads)
    return CodedValues(1, payload, tiles, pruned(tree))


def _lossy(tree: Tree, promise: Promise, threads: int) -> Coded | None:
    return to_psnr(tree, promise, threads) if promise.psnr else lossy.encode(tree, promise, threads=threads)
