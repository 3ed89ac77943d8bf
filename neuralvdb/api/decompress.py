"""From .neuralvdb to .vdb. The work itself is loaded by who does it: write_vdb.py."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from neuralvdb.api.jobs import Listeners, Note, Progress, Runner, Task, ignore, only, run_here
from neuralvdb.api.outputs import FrameTarget, Output, new_files, temporary_names
from neuralvdb.api.readable import check_readable
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import DecompressSettings


@dataclass(frozen=True, kw_only=True)
class GridRegion:
    """A grid of which only a box or a coarser level was written."""

    active_voxels: int | None
    """None where they are not counted."""
    voxel_size: tuple[float, float, float] | None
    """World units; None where the grid has no transform."""


@dataclass(frozen=True, kw_only=True)
class DecompressReport:
    """What decompress() did."""

    source: str
    target: str
    archive_size: int
    """Bytes."""
    vdb_size: int
    """Bytes."""
    grids: list[str]
    """Names of the grids written."""
    parts: dict[str, GridRegion]
    """Of every grid where a box or a level of detail was asked for."""
    notes: list[str]
    """One line on each grid that was left out or not cut as others are."""
    device: str
    """Where topologies and lossy values were decoded."""
    skipped: bool = False
    """Whether the .vdb was there already, so that nothing was done."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def decompress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: DecompressSettings = DecompressSettings(),
    *,
    progress: Progress = ignore,
    note: Note = ignore,
    run: Runner = run_here,
) -> DecompressReport:
    """Writes the archive `source` to the .vdb file `target`: all of it, or what settings.box and settings.lod ask for.

    progress: is told of bytes of decoded memory as they are done. note: is told each of the report's notes before
    anything is written. run: as in compress(). Raises NoSuchDevice, InputError, DamagedFile, Unsupported, NoSuchGrid,
    MissingPriors, OutputExists, OutputError, PromiseBroken, OutOfMemory; then `target` is as before.
    """
    frames = [FrameTarget(settings.frame, Path(target))]
    with decompressing(source, frames, settings, progress=progress, note=note) as task:
        return only(run(task.work, writes=task.writes))


@contextlib.contextmanager
def decompressing(
    source: str | os.PathLike[str],
    frames: Sequence[FrameTarget],
    settings: DecompressSettings,
    *,
    progress: Progress = ignore,
    note: Note = ignore,
) -> Iterator[Task[list[DecompressReport | NeuralVdbError]]]:
    """The work of decompress() for frames of an archive, for any process to do within the block: the targets of those
    that could be decoded are there when that ends well."""
    check_readable(source)
    frames = [replace(frame, force=frame.force or settings.force) for frame in frames]
    with new_files([_may_be_there(frame, settings) for frame in frames], source) as outputs:
        work = functools.partial(_decompress, os.fspath(source), frames, outputs, settings, progress, note)
        yield Task(work, writes=temporary_names(outputs))


def _may_be_there(frame: FrameTarget, settings: DecompressSettings) -> FrameTarget:
    """The frame, whose target need not be new where it may be left as it is."""
    return replace(frame, force=frame.force or (settings.skip_existing and os.path.exists(frame.target)))


def _decompress(
    source: str,
    frames: Sequence[FrameTarget],
    outputs: Sequence[Output],
    settings: DecompressSettings,
    progress: Progress,
    note: Note,
) -> list[DecompressReport | NeuralVdbError]:
    """What becomes of each, in order; what frames need of others is decoded once."""
    from neuralvdb.api.write_vdb import write_frames

    return write_frames(source, frames, outputs, settings, Listeners(progress, note))
