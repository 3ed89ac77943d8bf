"""From grids to sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from neuralvdb import topology, values
from neuralvdb.archive import FieldWriter, SectionWriter, put_array
from neuralvdb.codec.earlier import DEEPEST, EarlierFrames, EarlierGrids, EncodedBefore, Source
from neuralvdb.codec.frame_table import FrameTable, GridHead, content_hash
from neuralvdb.codec.frame_writer import FrameWriter, Payload
from neuralvdb.codec.grid_reference import GridAt, GridReference
from neuralvdb.codec.group_tables import FirstTables, stored_size
from neuralvdb.codec.guarantee import promise_for
from neuralvdb.codec.loss import MeasuredLoss, measure
from neuralvdb.codec.pruning import derive_mask, prunable
from neuralvdb.codec.reference_search import find_references
from neuralvdb.codec.repeats import First, Repeats
from neuralvdb.codec.reusable import GridInFile, ReusableValues, key_of, read_reusable
from neuralvdb.codec.topology_sharing import Role, TopologySharing
from neuralvdb.dataclass import dataclass
from neuralvdb.devices import Devices
from neuralvdb.errors import InputError
from neuralvdb.settings import CompressSettings
from neuralvdb.threads import run_in_order, threads_each
from neuralvdb.topology import Topology, count_differing
from neuralvdb.vdb import GridFile
from neuralvdb.volume import Storage, Tree, VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind

if TYPE_CHECKING:
    from neuralvdb.values import CodedValues, EncodeContext, ModelSet, Promise, Tuning, ValuesHead

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A grid to encode.

    number: in the frame.
    source_size: bytes in the source.
    promise: None where every bit is kept.
    needed: what is coded in place of the grid's tree, whose topology is pruned; None where it stays exact.
    role: of its topology.
    first: of the grids that are equal to it.
    earlier: grids that it may be coded from.
    before: what no other grids and frames before it share; the same grids come out the same behind the same.
    tuning: of the group of frames; None where networks are fine-tuned to single grids.
    """

    number: int
    grid: VolumeGrid
    source_size: int
    promise: Promise | None
    needed: Tree | None
    role: Role
    first: First[_EncodedGrid]
    earlier: EarlierGrids
    before: str
    tuning: Tuning | None

    def put(self, tree: Tree, depth: int) -> None:
        """Says what the grid decodes to, and how many references are between it and a grid that has none."""
        self.earlier.put(self.number, Source(number=self.number, tree=tree, name=self.grid.unique_name, depth=depth))


@dataclass(frozen=True, kw_only=True)
class _EncodedGrid:
    """A grid ready to be written.

    values: how its values are coded, None where every bit is kept.
    reference: the grid that its values resemble; None where they are coded alone.
    loss: of fog that is not lossless.
    families: those whose networks decoding needs.
    key: of equal grids under the same settings; empty where that does not matter.
    """

    head: GridHead
    sections: list[Payload]
    values: ValuesHead | None = None
    reference: GridReference | None = None
    loss: MeasuredLoss | None = None
    families: frozenset[str] = frozenset()
    key: str = ""

    def repeated(self, job: _Job) -> _EncodedGrid:
        """The same of a grid that is equal to this one."""
        grid = job.grid
        head = replace(
            self.head,
            unique_name=grid.unique_name,
            half=grid.half,
            metadata=grid.metadata,
            transform=grid.transform,
            source_size=job.source_size,
            topology_of=job.role.owner,
        )
        return replace(self, head=head, sections=[section for section in self.sections if section.kind != "TOPO"])


@dataclass(frozen=True, kw_only=True)
class EncodedFrame:
    """A frame that has been written.

    table: its table.
    values: how the values of each grid are coded, None where every bit is kept.
    losses: of fog that is not lossless, by the numbers of grids.
    keys: of each grid, as key_of() has it.
    before: what others may be coded from.
    tables: of the first frame of its group.
    alone: whether it is that one itself.
    uses: the frames that it is coded from, as GridAt has them.
    """

    table: FrameTable
    values: tuple[ValuesHead | None, ...]
    losses: dict[int, MeasuredLoss]
    keys: tuple[str, ...]
    before: EncodedBefore
    tables: FirstTables
    alone: bool
    uses: frozenset[int]


def encode_frame(
    writer: SectionWriter,
    source: GridFile,
    selected: list[int],
    context: EncodeContext,
    progress: Progress,
    earlier: EarlierFrames = EarlierFrames(),
) -> EncodedFrame:
    """Writes the selected grids of `source` and tells what was written.

    At most context.threads grids are in memory beside the one being read. `progress` is called with bytes of the source
    as they are done. Raises DamagedFile, InputError, OutputError and OutOfMemory.
    """
    _check_models(context)
    jobs = _Jobs(source, selected, context.settings, earlier)
    encoded: Iterable[_EncodedGrid] = _encode_all(jobs, context, earlier.reusable)
    alone = earlier.tables is None
    if earlier.tables is not None and not earlier.joins:  # else nothing is kept
        encoded = list(encoded)
        alone = not any(_is_behind(grid, earlier) for grid in encoded)
    frame, grids = FrameWriter(writer, None if alone else earlier.tables), list[_EncodedGrid]()
    for number, grid in enumerate(encoded):
        frame.grid(number, grid.head.unique_name, grid.sections)
        grids.append(replace(grid, sections=[]))
        progress(grid.head.source_size)
    families = set[str]().union(*(grid.families for grid in grids))
    if context.settings.embed_priors and families:
        values.put_models(writer, context.models.only(families))
    table = _table(source, selected, [grid.head for grid in grids], context)
    losses = {number: grid.loss for number, grid in enumerate(grids) if grid.loss is not None}
    references = {number: grid.reference for number, grid in enumerate(grids) if grid.reference is not None}
    return EncodedFrame(
        table=table,
        values=tuple(grid.values for grid in grids),
        losses=losses,
        keys=tuple(grid.key for grid in grids),
        before=jobs.encoded(),
        tables=frame.end(table, references, losses),
        alone=alone,
        uses=frozenset(s.frame for reference in references.values() for s in reference.sources if s.frame),
    )


def _is_behind(grid: _EncodedGrid, earlier: EarlierFrames) -> bool:
    """Whether a grid is coded from another frame, or by networks that the first frame of the group has too."""
    moved = grid.reference is not None and any(source.frame for source in grid.reference.sources)
    return moved or (earlier.tuning is not None and grid.values is not None and grid.values.fine_tuned)


def _table(source: GridFile, selected: list[int], heads: list[GridHead], context: EncodeContext) -> FrameTable:
    """The table of the selected grids of a file."""
    kept = set(selected)
    return FrameTable(
        version=source.version,
        openvdb_version=source.openvdb_version,
        uuid=source.uuid,
        metadata=source.metadata,
        source_size=source.size,
        complete=len(selected) == len(source.entries),
        grids=tuple(heads),
        left_out=tuple(entry.unique_name for i, entry in enumerate(source.entries) if i not in kept),
        source_hash=source.hash_bytes(),
        settings_hash=context.settings_hash,
    )


def _check_models(context: EncodeContext) -> None:
    """Raises InputError where the models that the user gave cannot encode."""
    where = context.settings.priors
    if len(context.models.families) < len(values.FAMILIES):
        raise InputError(f"{where}: carries priors of some families only; give the file that they came from")
    if context.settings.fast and not context.models.fast:
        raise InputError(f"{where}: its networks have hidden layers; tune fast ones with `nvdb train --fast`")


def _encode_all(jobs: _Jobs, context: EncodeContext, reusable: Mapping[str, GridInFile]) -> Iterator[_EncodedGrid]:
    """The encoded grids in order; reading runs ahead of encoding by context.threads grids."""
    each = replace(context, threads=threads_each(len(jobs), context.threads))
    work = (partial(_encode, job, each, reusable) for job in jobs)
    for encoded in run_in_order(work, threads=context.threads, most_waiting=context.threads + 1):
        yield encoded.first.results[0].repeated(encoded) if isinstance(encoded, _Job) else encoded


class _Jobs:
    """The selected grids of a file, each read when it is asked for."""

    def __init__(
        self, source: GridFile, selected: Sequence[int], settings: CompressSettings, earlier: EarlierFrames
    ) -> None:
        self._source, self._selected, self._settings = source, selected, settings
        frames = enumerate(earlier.before, 1)
        before = [replace(source, frame=number) for number, frame in frames for source in frame.sources]
        self._earlier = EarlierGrids(before, keeps=settings.lossy)
        self._history = xxhash.xxh3_128("".join(frame.history for frame in earlier.before).encode())
        self._tables, self._tuning = earlier.tables, earlier.tuning

    def __len__(self) -> int:
        return len(self._selected)

    def __iter__(self) -> Iterator[_Job]:
        source, settings, sharing, repeats = self._source, self._settings, TopologySharing(), Repeats[_EncodedGrid]()
        for number, entry_number in enumerate(self._selected):
            entry = source.entries[entry_number]
            grid = source.read(entry_number)
            promise, needed = promise_for(grid, settings), None
            if promise is not None and grid.tree is not None and settings.topology == "pruned":
                needed = prunable(grid.tree, promise)
            self._earlier.announce(number)
            first = repeats.assign(number, grid, promise)
            yield _Job(
                number=number,
                grid=grid,
                source_size=entry.end_pos - entry.grid_pos,
                promise=promise,
                needed=needed,
                role=sharing.assign(number, grid.tree if needed is None else needed),
                first=first,
                earlier=self._earlier,
                before=self._history.hexdigest(),
                tuning=self._tuning_of(number, grid.unique_name),
            )
            self._history.update(repr((number, first.number, first.key)).encode())

    def _tuning_of(self, number: int, name: bytes) -> Tuning | None:
        return None if self._tuning is None else self._tuning(number, name, partial(stored_size, self._tables, name))

    def encoded(self) -> EncodedBefore:
        """What other frames may be coded from, when all grids are encoded."""
        return EncodedBefore(self._earlier.done(), self._history.hexdigest())


def _encode(job: _Job, context: EncodeContext, reusable: Mapping[str, GridInFile]) -> _EncodedGrid | _Job:
    """The encoded grid; the job where the grid is equal to an earlier one, which may not be encoded yet."""
    try:
        if job.first.number != job.number:
            return job
        if job.grid.tree is None:
            return _encode_blob(job)
        key = key_of(job.first.key, context, "" if job.promise is None else job.before)
        held = read_reusable(reusable, key, context.models) if key in reusable else None
        encoded = _encode_reusable(job, held, context) if held else _encode_tree(job, job.grid.tree, context)
        job.first.results.append(encoded := replace(encoded, key=key))
        return encoded
    finally:
        job.earlier.put(job.number, None)


def _encode_blob(job: _Job) -> _EncodedGrid:
    """A grid that travels as bytes, or shares a tree."""
    sections = []
    if job.grid.storage is not Storage.INSTANCE:
        out = FieldWriter()
        put_array(out, np.frombuffer(job.grid.blob, np.uint8))
        sections = [Payload(kind="BLOB", payload=out.getvalue(), raw_size=len(job.grid.blob))]
    head = GridHead.of(job.grid, source_size=job.source_size, topology_of=job.role.owner)
    return _EncodedGrid(head=head, sections=sections)


def _encode_tree(job: _Job, tree: Tree, context: EncodeContext) -> _EncodedGrid:
    """The grid, whose tree is `tree`."""
    pruned, reference = None, None
    if job.needed is None:
        coded, reference = _choose_values(job, tree, context)
        decoded = coded.tree
    else:
        coded = _encode_needed(job, job.needed, context)
        decoded = derive_mask(coded.tree)
        pruned = count_differing(Topology.of(tree), Topology.of(decoded))
    if job.tuning is not None:
        job.tuning.settle(coded)
    sections = [_encode_topology(job, context)] if job.role.owner == job.number else []
    raw_size = values.raw_size(coded.tree)
    sections.append(Payload(kind="VALS", codec=coded.codec, payload=coded.payload, raw_size=raw_size))
    for number, payload in coded.chunks.items():
        sections.append(Payload(kind="TILE", number=number, payload=payload, raw_size=0))
    grid = replace(job.grid, tree=decoded)
    head = GridHead.of(grid, source_size=job.source_size, topology_of=job.role.owner, pruned=pruned)
    loss = None
    if coded.head is not None and pruned is None and field_kind(grid) is FieldKind.FOG:
        loss = measure(tree, decoded, coded.head.promise, coded.picture, context.threads)
    return _EncodedGrid(
        head=head,
        sections=sections,
        values=coded.head,
        reference=reference,
        loss=loss,
        families=coded.families,
    )


def _encode_reusable(job: _Job, reusable: ReusableValues, context: EncodeContext) -> _EncodedGrid:
    """The grid, whose values are coded already."""
    sections = [_encode_topology(job, context)] if job.role.owner == job.number else []
    sections += [
        Payload(kind=s.kind, codec=s.codec, number=s.part, payload=payload, raw_size=s.raw_size)
        for s, payload in reusable.sections
    ]
    assert job.grid.tree is not None
    tree = job.grid.tree if reusable.decoded is None else reusable.decoded
    job.put(tree, reusable.depth)
    content = content_hash(replace(job.grid, tree=tree))
    grid = _EncodedGrid(
        head=replace(reusable.head, content=content),
        sections=sections,
        values=reusable.values,
        reference=reusable.reference,
        loss=reusable.loss,
    )
    return replace(grid.repeated(job), sections=sections)


def _choose_values(job: _Job, tree: Tree, context: EncodeContext) -> tuple[CodedValues, GridReference | None]:
    """The values of a tree, and the grid that is in view where that takes fewer bytes; every bit where nothing is
    promised."""
    depth, reference = 0, None
    if job.promise is None:
        coded = values.exact(tree)
    else:
        earlier = {
            GridAt(source.number, source.frame): source
            for source in job.earlier.all_before(job.number)
            if source.depth < DEEPEST or source.frame
        }
        references = find_references(job.grid.unique_name, tree, job.promise, list(earlier.values()))
        said = map(partial(_predicted, tree=tree, earlier=earlier, threads=context.threads), references)
        coded = values.choose_values(tree, job.promise, context, said, job.tuning)
        if coded.said is not None and coded.head is not None and coded.head.correction is not None:
            reference = references[coded.said]
            depth = max((1 + earlier[grid].depth for grid in reference.sources if not grid.frame), default=0)
    job.put(coded.tree, depth)
    return coded, reference


def _predicted(reference: GridReference, *, tree: Tree, earlier: Mapping[GridAt, Source], threads: int) -> np.ndarray:
    """What a reference says of a tree."""
    return reference.predict(tree, tree_of=lambda grid: earlier[grid].tree, threads=threads)


def _encode_needed(job: _Job, needed: Tree, context: EncodeContext) -> CodedValues:
    """The values of a tree whose topology is pruned, which are never lossless."""
    assert job.promise is not None
    coded = values.encode_lossy(needed, job.promise, context, tuning=job.tuning)
    assert coded is not None  # there is no PSNR that might not be kept
    return coded


def _encode_topology(job: _Job, context: EncodeContext) -> Payload:
    """The section of the topology that a grid does not share with an earlier one."""
    tree = job.grid.tree if job.needed is None else job.needed
    assert tree is not None
    masks = Topology.of(tree)
    codec, payload = topology.encode(masks, job.role.reference, threads=context.threads)
    return Payload(kind="TOPO", codec=codec, payload=payload, raw_size=masks.nbytes)


def encode_values(
    grid: VolumeGrid, settings: CompressSettings, *, models: ModelSet | None = None, devices: Devices | None = None
) -> CodedValues:
    """The values of a grid that travels as arrays, as encode_frame() codes them where its topology stays exact."""
    assert grid.tree is not None
    context = values.EncodeContext.of(settings, models=models, devices=devices)
    promise = promise_for(grid, settings)
    return values.exact(grid.tree) if promise is None else values.choose_values(grid.tree, promise, context)
