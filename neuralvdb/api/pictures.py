"""Pictures of a file's grids, and of what became of them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from neuralvdb.api.jobs import Progress, Runner, Task, ignore, only, run_here
from neuralvdb.api.losses import common_grids, grid_loss
from neuralvdb.api.outputs import FrameTarget, Output, new_files, temporary_names, write_each
from neuralvdb.api.readable import check_readable
from neuralvdb.api.source import GridSource, OpenFiles, select
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, NeuralVdbError, naming
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.settings import ViewSettings
from neuralvdb.view import GridView, Strip, difference_strips, draw_sheet, grid_strip, need_pillow
from neuralvdb.volume.grid import display_name

MOST_GRIDS = 32  # in one picture


@dataclass(frozen=True, kw_only=True)
class ViewReport:
    """A picture of one file."""

    source: str
    target: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    grids: list[GridView]
    """What the picture shows, from top to bottom."""
    left_out: list[str]
    """Grids that were selected and are not shown: other types, nothing active, or more than a picture holds."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DifferencePicture:
    """A picture of two files and their difference."""

    first: str
    second: str
    target: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    grids: list[str]
    """What the picture shows, from top to bottom."""


def view(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: ViewSettings = ViewSettings(),
    *,
    run: Runner = run_here,
) -> ViewReport:
    """Draws the grids of a .vdb file or an archive as the PNG file `target`.

    run: as in compress(). Raises InputError (also where there is nothing to show), DamagedFile, Unsupported (also
    without Pillow), NoSuchGrid, MissingPriors, OutputExists, OutputError, OutOfMemory; then `target` is as before.
    """
    frame = FrameTarget(settings.frame, Path(target), settings.force)
    with viewing(source, [frame], settings) as task:
        return only(run(task.work, writes=task.writes))


@contextlib.contextmanager
def viewing(
    source: str | os.PathLike[str],
    frames: Sequence[FrameTarget],
    settings: ViewSettings,
    *,
    progress: Progress = ignore,
) -> Iterator[Task[list[ViewReport | NeuralVdbError]]]:
    """The work of view() for frames of an archive, for any process to do within the block: the targets of those that
    could be drawn are there when that ends well. progress: is told of 1 after each."""
    need_pillow()
    check_readable(source)
    with new_files(frames, source) as outputs:
        work = functools.partial(_draw_views, os.fspath(source), frames, outputs, settings, progress)
        yield Task(work, writes=temporary_names(outputs))


def picture_of_difference(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: ViewSettings = ViewSettings(),
    *,
    run: Runner = run_here,
) -> DifferencePicture:
    """Draws the grids that both files have: original, decoded, difference, as the PNG file `target`. Raises what
    view() does."""
    need_pillow()
    for source in (first, second):
        check_readable(source)
    with new_file(Path(target), force=settings.force, sources=[first, second]) as output:
        job = functools.partial(_draw_difference, os.fspath(first), os.fspath(second), output, settings)
        return run(job, writes=[output.temporary])


def views_of(
    source: GridSource, grids: Sequence[str], most: int = MOST_GRIDS
) -> tuple[list[GridView], list[Strip], list[str]]:
    """Words and strips of the selected grids, of so many at most, and the names of those without. Raises what view()
    does."""
    views, strips, left_out = list[GridView](), list[Strip](), list[str]()
    with naming(source.path):
        selected = select(source.grids, grids, source.path)
        source.prepare(selected)
        for index in selected:
            of_grid = grid_strip(source.read(index)) if len(strips) < most else None
            if of_grid is None:
                left_out.append(display_name(source.grids[index].unique_name))
            else:
                views.append(of_grid[0])
                strips.append(of_grid[1])
    return views, strips, left_out


def _draw_views(
    path: str, frames: Sequence[FrameTarget], outputs: Sequence[Output], settings: ViewSettings, progress: Progress
) -> list[ViewReport | NeuralVdbError]:
    """What becomes of each; what frames need of others is decoded once."""
    with OpenFiles(settings) as files:

        def draw(frame: FrameTarget, output: NewFile) -> ViewReport:
            views, strips, names = views_of(files.source(path, frame.number), settings.grids)
            width, height = write_sheet(strips, output, path)
            return ViewReport(
                source=path, target=output.target, width=width, height=height, grids=views, left_out=names
            )

        return write_each(frames, outputs, draw, progress)


def _draw_difference(first: str, second: str, output: NewFile, settings: ViewSettings) -> DifferencePicture:
    strips, names = list[Strip](), list[str]()
    with OpenFiles(settings) as files, naming(first, second):
        a, b = (files.source(path, settings.frame) for path in (first, second))
        for original, (decoded,) in common_grids(a, [b], settings.grids):
            of_grid = difference_strips(original, decoded, grid_loss(original, decoded).words)
            if of_grid and len(names) < MOST_GRIDS:
                strips += of_grid
                names.append(original.name)
    width, height = write_sheet(strips, output, f"{first} and {second}")
    return DifferencePicture(first=first, second=second, target=output.target, width=width, height=height, grids=names)


def write_sheet(strips: Sequence[Strip], output: NewFile, path: str) -> tuple[int, int]:
    """Draws the strips of a file into the output; gives width and height."""
    if not strips:
        raise InputError(f"{path}: has nothing to show; pictures are made of active voxels of float and vec3 grids")
    png, width, height = draw_sheet(strips)
    with output.writing() as stream:
        stream.write(png)
    return width, height
