"""From grids to sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from neuralvdb import topology, values
from neuralvdb.archive import ENTRY_SIZE, ArchiveWriter, FieldWriter, put_array
from neuralvdb.archive.formats import version_written
from neuralvdb.codec.cover import Cover, changed, cover_of
from neuralvdb.codec.frame_table import Frame, GridHead, head_of
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.codec.pruning import pruned
from neuralvdb.codec.topology_sharing import Role, Shapes
from neuralvdb.errors import InputError
from neuralvdb.metrics import psnr
from neuralvdb.settings import CompressSettings, Effort
from neuralvdb.topology import Topology
from neuralvdb.values import encoder
from neuralvdb.values.head import read_head
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.tables import dead_zones
from neuralvdb.values.lossless import by_component
from neuralvdb.values.model_file import put_models
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.interpolation_only import plain_for
from neuralvdb.values.select.search import networks_of, to_psnr
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Storage, Tree, VolumeGrid

Progress = Callable[[int], None]
_FITTED = 2.0  # times the bytes that every bit takes: more than fitting makes up for


@dataclass
class _Coded:
    """A grid ready to be written: its head, its sections as (kind, part, codec, payload, raw size), and the families
    whose priors it needs."""

    head: GridHead
    sections: list[tuple[str, int, int, bytes, int]]
    families: frozenset[str]


def encode_frame(
    writer: ArchiveWriter,
    source: VdbReader,
    selected: list[int],
    settings: CompressSettings,
    progress: Progress,
    frame: int = 0,
    library: ModelSet | None = None,
    devices: tuple[str, ...] = (),
) -> Frame:
    """Writes the selected grids of `source` as frame number `frame` and gives its table.

    At most settings.threads grids are in memory beside the one being read. `progress` is called with bytes of
    the source as they are done. library: the priors of settings.priors, None where there are none; devices: where lossy
    values are encoded, such as "cuda:0", none for the CPU. Raises DamagedFile, InputError, OutputError and OutOfMemory.
    """
    table = Frame(
        source.version,
        source.library,
        source.uuid,
        source.metadata,
        source.size,
        complete=len(selected) == len(source.entries),
    )
    library = library or _shipped(settings)
    if len(library.families) < len(priors.FAMILIES):
        raise InputError(f"{settings.priors}: carries priors of some families only; give the file that they came from")
    if settings.fast and not library.fast:
        raise InputError(f"{settings.priors}: its networks have hidden layers; tune fast ones with `nvdb train --fast`")
    families: set[str] = set()
    for index, coded in enumerate(_encoded(source, selected, settings, library, devices)):
        for kind, part, codec, payload, raw_size in coded.sections:
            version = version_written(kind, codec)
            writer.add(
                kind, payload, raw_size=raw_size, codec=codec, version=version, frame=frame, grid=index, part=part
            )
        table.grids.append(coded.head)
        families |= coded.families
        progress(coded.head.source_size)
    if settings.embed_priors and families:
        put_models(writer, library.only(families))
    payload, raw_size = table.pack()
    writer.add("FRAM", payload, raw_size=raw_size, version=version_written("FRAM", 0), frame=frame)
    return table


def _encoded(
    source: VdbReader, selected: list[int], settings: CompressSettings, library: ModelSet, devices: tuple[str, ...]
) -> Iterator[_Coded]:
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
            waiting.append(pool.submit(_encode, grid, cover, size, index, role, inner, library, devices))
            if len(waiting) > threads:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _encode(
    grid: VolumeGrid,
    cover: Cover | None,
    source_size: int,
    index: int,
    role: Role,
    settings: CompressSettings,
    library: ModelSet,
    devices: tuple[str, ...],
) -> _Coded:
    head, families = {"topology_of": role.owner}, frozenset()
    if grid.tree is not None:
        tree = grid.tree if cover is None else cover.tree
        how = settings, library, devices
        coded = encode_values(grid, *how) if cover is None else encode_cover(cover, *how)
        families = coded.families
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
    return _Coded(replace(head_of(grid, source_size, index), **head), sections, families)


@dataclass
class CodedValues:
    """Values of a tree. codec and payload of VALS; tiles: payloads of TILE by part; tree: as they decode; families:
    those whose priors decoding needs."""

    codec: int
    payload: bytes
    tiles: dict[int, bytes]
    tree: Tree
    families: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Bytes of all sections and their entries in the index."""
        return len(self.payload) + sum(len(tile) + ENTRY_SIZE for tile in self.tiles.values())


def encode_values(
    grid: VolumeGrid, settings: CompressSettings, library: ModelSet | None = None, devices: tuple[str, ...] = ()
) -> CodedValues:
    """The values of a tree: under a bound if one is asked for and that is smaller than every bit.

    library: of networks (default: those shipped); devices: as encode_frame() has them.
    """
    assert grid.tree is not None
    exact = CodedValues(0, values.encode(grid.tree), {}, grid.tree)
    promise = promise_for(grid, settings)
    coded = None
    if promise is not None:
        how = settings, library or _shipped(settings), devices
        coded = _lossy(grid.tree, promise, *how, hopeless=_FITTED * exact.size)
    return coded if coded is not None and coded.size < exact.size else exact


def encode_cover(
    cover: Cover, settings: CompressSettings, library: ModelSet | None = None, devices: tuple[str, ...] = ()
) -> CodedValues:
    """The values of a cover, and the tree pruned to them."""
    coded = _lossy(cover.tree, cover.promise, settings, library or _shipped(settings), devices)
    assert coded is not None  # which only a PSNR can prevent
    return replace(coded, tree=pruned(coded.tree))


def _shipped(settings: CompressSettings) -> ModelSet:
    return priors.fast() if settings.fast else priors.shipped()


def _lossy(
    tree: Tree,
    promise: Promise,
    settings: CompressSettings,
    library: ModelSet,
    devices: tuple[str, ...],
    *,
    hopeless: float = np.inf,
) -> CodedValues | None:
    """The values under a promise, by networks that are refined to them if that is smaller; None where none is kept.

    hopeless: bytes from which on it is not worth trying.
    """
    shipped = _shipped(settings)
    others = [] if settings.embed_priors or library is shipped else [shipped]
    (promise, library), plain = networks_of(tree, promise, [library, *others]), None
    promise, changes = plain_for(tree, promise, library)
    options = {"library": library, "threads": settings.threads, "devices": devices, "refinement": changes}
    if promise.bound.psnr:
        promise, plain = to_psnr(tree, promise, options) or (promise, None)
        if plain is None:
            return None
    if settings.fine_tuning.output_rounds and not changes:
        return _refined(tree, promise, settings.fine_tuning, options, hopeless)
    plain = plain or encoder.encode(tree, promise, **options)
    return CodedValues(1, *plain, frozenset({promise.mode.family}))


def _refined(tree: Tree, promise: Promise, effort: Effort, options: dict, hopeless: float) -> CodedValues:
    """The values by the networks of options["library"], refined to them if that is smaller and keeps the promise.

    hopeless: as in _lossy().
    """
    from neuralvdb.fit.examples import Sampler  # only encoders that fit networks need it
    from neuralvdb.fit.fine_tune_grid import fine_tune_grid

    library: ModelSet = options["library"]
    sampler = Sampler(len(tree.leaf), by_component(tree.leaf).shape[2], effort.examples, effort.levels)
    watched = encoder.encode(tree, promise, watch=sampler, **options | {"devices": ()})  # which only the CPU can be
    plain = CodedValues(1, *watched, frozenset({promise.mode.family}))
    if plain.size >= hopeless:
        return plain
    family, rows = promise.mode.family, read_head(plain.payload, "").table_rows
    dead = dead_zones(family, library.freq) * (promise.mode.lattice is LatticeKind.MEAN)
    found = fine_tune_grid(sampler, family=family, models=library, rows=rows, dead_zone=dead, effort=effort)
    if not found:
        return plain
    families = plain.families | {change.donor for change in found.values()}
    refined = CodedValues(1, *encoder.encode(tree, promise, **options | {"refinement": found}), families)
    keeps = not promise.bound.psnr or psnr(tree, refined.tree) >= promise.bound.psnr
    return refined if keeps and refined.size < plain.size else plain
