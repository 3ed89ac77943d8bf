"""From a grid to its sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb import topology, values
from neuralvdb.archive import FieldWriter, put_array
from neuralvdb.codec.earlier import DEEPEST, EarlierGrids, Source
from neuralvdb.codec.frame_table import GridHead, content_hash
from neuralvdb.codec.frame_writer import Payload
from neuralvdb.codec.grid_reference import GridAt, GridReference
from neuralvdb.codec.loss import MeasuredLoss, measure
from neuralvdb.codec.pruning import derive_mask
from neuralvdb.codec.reference_search import find_references
from neuralvdb.codec.repeats import First
from neuralvdb.codec.reusable import GridInFile, ReusableValues, key_of, read_reusable
from neuralvdb.codec.scheduler import Steps
from neuralvdb.codec.topology_sharing import Role
from neuralvdb.dataclass import dataclass
from neuralvdb.topology import Topology, count_differing
from neuralvdb.volume import Storage, Tree, VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind

if TYPE_CHECKING:
    from neuralvdb.values import CodedValues, EncodeContext, Promise, Tuning, ValuesHead


@dataclass(frozen=True, kw_only=True)
class EncodeJob:
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
    first: First[EncodedGrid]
    earlier: EarlierGrids
    before: str
    tuning: Tuning | None

    @property
    def memory(self) -> int:
        """Bytes that the grid takes."""
        tree = self.grid.tree
        return len(self.grid.blob) if tree is None else Topology.of(tree).nbytes + values.raw_size(tree)

    def put(self, tree: Tree, depth: int) -> None:
        """Says what the grid decodes to, and how many references are between it and a grid that has none."""
        self.earlier.put(self.number, Source(number=self.number, tree=tree, name=self.grid.unique_name, depth=depth))


@dataclass(frozen=True, kw_only=True)
class EncodedGrid:
    """A grid ready to be written.

    values: how its values are coded, None where every bit is kept.
    reference: the grid that its values resemble; None where they are coded alone. sources: grids of the frame that it
    needs, as they decode.
    loss: of fog that is not lossless.
    families: those whose networks decoding needs.
    key: of equal grids under the same settings; empty where that does not matter.
    """

    head: GridHead
    sections: list[Payload]
    values: ValuesHead | None = None
    reference: GridReference | None = None
    sources: Mapping[GridAt, Tree] = field(default_factory=dict)
    loss: MeasuredLoss | None = None
    families: frozenset[str] = frozenset()
    key: str = ""

    def repeated(self, job: EncodeJob) -> EncodedGrid:
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


def encode_grid(
    job: EncodeJob, context: EncodeContext, reusable: Mapping[str, GridInFile]
) -> Steps[EncodedGrid | EncodeJob]:
    """The encoded grid; the job where the grid is equal to an earlier one, which may not be encoded yet."""
    try:
        if job.first.number != job.number:
            return job
        if job.grid.tree is None:
            return _encode_blob(job)
        key = key_of(job.first.key, context, "" if job.promise is None else job.before)
        held = read_reusable(reusable, key, context.models) if key in reusable else None
        if held is None:
            encoded = yield from _encode_tree(job, job.grid.tree, context)
        else:
            encoded = _encode_reusable(job, held, context)
        encoded = replace(encoded, key=key)
        job.first.results.append(replace(encoded, sources={}))  # which who is equal does not need
        return encoded
    finally:
        job.earlier.put(job.number, None)


def _encode_blob(job: EncodeJob) -> EncodedGrid:
    """A grid that travels as bytes, or shares a tree."""
    sections = []
    if job.grid.storage is not Storage.INSTANCE:
        out = FieldWriter()
        put_array(out, np.frombuffer(job.grid.blob, np.uint8))
        sections = [Payload(kind="BLOB", payload=out.getvalue(), raw_size=len(job.grid.blob))]
    head = GridHead.of(job.grid, source_size=job.source_size, topology_of=job.role.owner)
    return EncodedGrid(head=head, sections=sections)


def _encode_tree(job: EncodeJob, tree: Tree, context: EncodeContext) -> Steps[EncodedGrid]:
    """The grid, whose tree is `tree`."""
    pruned, references = None, None
    sections = [_encode_topology(job, context)] if job.role.owner == job.number else []
    if job.needed is None:
        coded, references = yield from _choose_values(job, tree, context)
        decoded = coded.tree
    else:
        coded = _encode_needed(job, job.needed, context)
        decoded = derive_mask(coded.tree)
        pruned = count_differing(Topology.of(tree), Topology.of(decoded))
    if job.tuning is not None:
        job.tuning.settle(coded)
    raw_size = values.raw_size(coded.tree)
    sections.append(Payload(kind="VALS", codec=coded.codec, payload=coded.payload, raw_size=raw_size))
    for number, payload in coded.chunks.items():
        sections.append(Payload(kind="TILE", number=number, payload=payload, raw_size=0))
    grid = replace(job.grid, tree=decoded)
    head = GridHead.of(grid, source_size=job.source_size, topology_of=job.role.owner, pruned=pruned)
    loss = None
    if coded.head is not None and pruned is None and field_kind(grid) is FieldKind.FOG:
        loss = measure(tree, decoded, coded.head.promise, coded.picture, context.free_threads())
    return EncodedGrid(
        head=head,
        sections=sections,
        values=coded.head,
        reference=None if references is None else references.taken,
        sources={} if references is None else references.sources,
        loss=loss,
        families=coded.families,
    )


def _encode_reusable(job: EncodeJob, reusable: ReusableValues, context: EncodeContext) -> EncodedGrid:
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
    grid = EncodedGrid(
        head=replace(reusable.head, content=content),
        sections=sections,
        values=reusable.values,
        reference=reusable.reference,
        loss=reusable.loss,
    )
    return replace(grid.repeated(job), sections=sections)


def _choose_values(job: EncodeJob, tree: Tree, context: EncodeContext) -> Steps[tuple[CodedValues, _References | None]]:
    """The values of a tree, and what it resembles where something was looked for; every bit where nothing is
    promised."""
    prepared = None if job.promise is None else values.prepare_values(tree, job.promise, context, job.tuning)
    if prepared is None or prepared.candidate is None:
        job.put(tree, 0)
        return values.exact(tree) if prepared is None else prepared.choose(), None
    references = _References(job, tree, context)
    yield from references.wait()
    coded = prepared.choose(references.said())
    references.take(coded)
    job.put(coded.tree, references.depth)
    return coded, references


class _References:
    """What a grid that is to be encoded may resemble."""

    def __init__(self, job: EncodeJob, tree: Tree, context: EncodeContext) -> None:
        self._job, self._tree, self._context = job, tree, context
        self._components = values.by_component(tree.leaf).shape[2]
        self._earlier: dict[GridAt, Source] = {}
        self._resembled: list[GridReference] = []
        self.taken: GridReference | None = None
        """The grid that is in view where that takes fewer bytes."""

    def wait(self) -> Steps[None]:
        """Waits for the grids that it may be coded from."""
        while missing := self._job.earlier.missing(self._job.number, self._components):
            yield missing

    def said(self) -> Iterator[np.ndarray]:
        """What each says of the tree, found when that is asked for."""
        job = self._job
        assert job.promise is not None
        self._earlier = {
            GridAt(source.number, source.frame): source
            for source in job.earlier.all_before(job.number, self._components)
            if source.depth < DEEPEST or source.frame
        }
        self._resembled = find_references(job.grid.unique_name, self._tree, job.promise, list(self._earlier.values()))
        for reference in self._resembled:
            yield reference.predict(
                self._tree, tree_of=lambda grid: self._earlier[grid].tree, threads=self._context.free_threads()
            )

    def take(self, coded: CodedValues) -> None:
        """Is told what the grid became."""
        if coded.said is not None and coded.head is not None and coded.head.correction is not None:
            self.taken = self._resembled[coded.said]

    @property
    def sources(self) -> dict[GridAt, Tree]:
        """The grids of the frame that are needed for what is taken, as they decode."""
        return {grid: self._earlier[grid].tree for grid in self._in_frame}

    @property
    def depth(self) -> int:
        """References between the grid and one that has none."""
        return max((1 + self._earlier[grid].depth for grid in self._in_frame), default=0)

    @property
    def _in_frame(self) -> list[GridAt]:
        return [] if self.taken is None else [grid for grid in self.taken.sources if not grid.frame]


def _encode_needed(job: EncodeJob, needed: Tree, context: EncodeContext) -> CodedValues:
    """The values of a tree whose topology is pruned, which are never lossless."""
    assert job.promise is not None
    coded = values.encode_lossy(needed, job.promise, context, job.tuning)
    assert coded is not None  # there is no PSNR that might not be kept
    return coded


def _encode_topology(job: EncodeJob, context: EncodeContext) -> Payload:
    """The section of the topology that a grid does not share with an earlier one."""
    tree = job.grid.tree if job.needed is None else job.needed
    assert tree is not None
    masks, devices = Topology.of(tree), context.devices.of(tree.leaf.values.nbytes)
    codec, payload = topology.encode(
        masks, job.role.reference, threads=context.free_threads(), device=next(iter(devices), None)
    )
    return Payload(kind="TOPO", codec=codec, payload=payload, raw_size=masks.nbytes)
