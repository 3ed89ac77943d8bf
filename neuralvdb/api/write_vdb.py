"""A frame of an archive as a .vdb file: what decompress() does, wherever that is."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import xxhash

from neuralvdb import devices
from neuralvdb.api.decompress import DecompressReport, GridRegion
from neuralvdb.api.jobs import Listeners, Note, Progress, ignore
from neuralvdb.api.outputs import FrameTarget, Output, write_each
from neuralvdb.api.source import open_frames, select
from neuralvdb.codec.decode import empty_grid
from neuralvdb.codec.frame import Frame, OpenFrames, position_of
from neuralvdb.codec.frame_table import Counts
from neuralvdb.codec.region import plan_region
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, OutputExists, naming
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.settings import DecompressSettings
from neuralvdb.topology import Topology
from neuralvdb.vdb import FILE_VERSION, VdbReader, VdbWriter, describe_transform, set_threads
from neuralvdb.volume import Storage, VolumeGrid


def write_frames(
    source: str,
    frames: Sequence[FrameTarget],
    outputs: Sequence[Output],
    settings: DecompressSettings,
    listeners: Listeners,
) -> list[DecompressReport | NeuralVdbError]:
    """What becomes of each, in order; what frames need of others is decoded once."""
    set_threads(settings.threads)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def opened() -> OpenFrames:
            return stack.enter_context(contextlib.closing(open_frames(source, settings)))

        def write(frame: FrameTarget, output: NewFile) -> DecompressReport:
            of_frame = replace(settings, frame=frame.number, force=frame.force)
            return _Job(source, output, of_frame).run(opened(), listeners.progress, listeners.note)

        return write_each(frames, outputs, write)


def decompress_frame(
    frames: OpenFrames, target: str | os.PathLike[str], settings: DecompressSettings
) -> DecompressReport:
    """What decompress() does, of an archive that stays open, so that what a frame needs of others may be there.

    Raises what decompress() raises.
    """
    source = frames.archive.path
    set_threads(settings.threads)
    with new_file(Path(target), force=settings.force, sources=[source]) as output:
        return _Job(source, output, settings).run(frames, ignore, ignore)


@dataclass(frozen=True)
class _Written:
    """Grids that were written: their names, and what DecompressReport says of some."""

    grids: list[str]
    regions: dict[str, GridRegion]
    notes: list[str]
    skipped: bool = False


@dataclass(frozen=True)
class _Job:
    """A .vdb file to write."""

    source: str
    output: NewFile
    settings: DecompressSettings

    def run(self, frames: OpenFrames, progress: Progress, note: Note) -> DecompressReport:
        """Decodes, writes and reports."""
        write = self._masks if self.settings.topology_only else self._grids
        with naming(self.source):
            frame = frames.at(position_of(frames.archive, self.settings.frame))
            selected = select(frame.grids, self.settings.grids, self.source)
            with self.output.open() as stream:
                written = write(frame, selected, stream, progress, lambda line: note(f"{self.source}: {line}"))
        return DecompressReport(
            source=self.source,
            target=self.output.target,
            archive_size=frame.size,
            vdb_size=os.stat(self.output.target).st_size if written.skipped else self.output.size(),
            grids=written.grids,
            parts=written.regions,
            notes=written.notes,
            device=devices.described(frames.devices.used),
            skipped=written.skipped,
        )

    def _is_done(self, uuid: bytes) -> bool:
        """Whether the target is there, not older than the archive, and has the uuid that would be written.

        Raises OutputExists where it is there and is another file.
        """
        target = self.output.target
        if not self.settings.skip_existing or not os.path.exists(target):
            return False
        try:
            if os.stat(target).st_mtime_ns >= os.stat(self.source).st_mtime_ns and VdbReader(target).uuid == uuid:
                return True
        except (OSError, NeuralVdbError):  # it is no .vdb, or damaged
            pass
        if not self.settings.force:
            raise OutputExists(
                f"{target}: exists already, and is not what would be written; use --force to overwrite it"
            )
        return False

    def _grids(self, frame: Frame, selected: list[int], stream: BinaryIO, progress: Progress, note: Note) -> _Written:
        """Writes grids, or what lies in the box, or coarser ones."""
        box, lod, heads = self.settings.box, self.settings.lod, frame.grids
        plan = plan_region(frame, selected, box, lod)
        selected, notes = plan.numbers, plan.notes
        for line in notes:
            note(line)
        region = repr((box, lod)) if box is not None or lod else ""
        whole = frame.table.complete and len(selected) == len(heads) and not region
        raw = [frame.table.version for i in selected if heads[i].storage is Storage.RAW]
        uuid = frame.table.uuid if whole else _uuid(_content(frame, selected) + region.encode())
        if self._is_done(uuid):
            return _Written([heads[i].name for i in selected], {}, notes, skipped=True)
        writer = VdbWriter(
            stream,
            metadata=frame.table.metadata,
            count=len(selected),
            uuid=uuid,
            compression=self.settings.compression,
            version=max([FILE_VERSION, *raw]),
        )
        regions = {}
        read = frame.read_in_order(selected, threads=self.settings.threads, box=box, lod=lod)
        with contextlib.closing(read) as grids:
            for index, grid in zip(selected, grids, strict=True):
                writer.write(grid)
                progress(frame.index.memory(index))
                if region:
                    regions[grid.name] = _region(grid)
        writer.close()
        return _Written([heads[i].name for i in selected], regions, notes)

    def _masks(self, frame: Frame, selected: list[int], stream: BinaryIO, progress: Progress, note: Note) -> _Written:
        """Writes mask grids of what is active in the grids that travel as arrays."""
        heads = frame.grids
        trees = [i for i in selected if heads[frame.index.source(i)].storage is Storage.TREE]
        left_out = [heads[i].name for i in sorted(set(selected) - set(trees))]
        notes = [f"grid '{name}' is left out: its topology is not coded apart" for name in left_out]
        for line in notes:
            note(line)
        uuid = _uuid(b"masks" + _content(frame, trees))
        if self._is_done(uuid):
            return _Written([heads[i].name for i in trees], {}, notes, skipped=True)
        writer = VdbWriter(
            stream,
            metadata=frame.table.metadata,
            count=len(trees),
            uuid=uuid,
            compression=self.settings.compression,
        )
        for index in trees:
            writer.write_mask(empty_grid(heads[index]), vars(frame.mask(index)))
            progress(frame.index.memory(index))
        writer.close()
        return _Written([heads[i].name for i in trees], {}, notes)


def _region(grid: VolumeGrid) -> GridRegion:
    active = None if grid.tree is None else Counts.of(Topology.of(grid.tree)).active_voxels
    size = describe_transform(grid.transform).voxel_size if grid.transform else None
    return GridRegion(active_voxels=active, voxel_size=size)


def _content(frame: Frame, selected: list[int]) -> bytes:
    """The hashes of the grids' contents."""
    return b"".join(frame.grids[i].content for i in selected)


def _uuid(content: bytes) -> bytes:
    """A uuid that depends on nothing but the content: a file with other grids than its source is another file."""
    digits = xxhash.xxh3_128_hexdigest(content)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()
