"""Pictures of a file's grids, and of what became of them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from neuralvdb.api.jobs import Runner, Task, run_here
from neuralvdb.api.losses import common_grids, grid_loss
from neuralvdb.api.source import GridSource, check_readable, select
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, naming
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
    with viewing(source, target, settings) as task:
        return run(task.work, writes=task.writes)


@contextlib.contextmanager
def viewing(
    source: str | os.PathLike[str], target: str | os.PathLike[str], settings: ViewSettings
) -> Iterator[Task[ViewReport]]:
    """The work of view(), for any process to do within the block: `target` is there when that ends well."""
    need_pillow()
    check_readable(source)
    with new_file(Path(target), force=settings.force, sources=[source]) as output:
        yield Task(functools.partial(_draw_view, os.fspath(source), output, settings), writes=[output.temporary])


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
    path: str, settings: ViewSettings, most: int = MOST_GRIDS
) -> tuple[list[GridView], list[Strip], list[str]]:
    """Words and strips of the selected grids, of so many at most, and the names of those without. Raises what view()
    does."""
    views, strips, left_out = list[GridView](), list[Strip](), list[str]()
    with GridSource(path, settings) as source, naming(path):
        for index in select(source.grids, settings.grids, path):
            of_grid = grid_strip(source.read(index)) if len(strips) < most else None
            if of_grid is None:
                left_out.append(display_name(source.grids[index].unique_name))
            else:
                views.append(of_grid[0])
                strips.append(of_grid[1])
    return views, strips, left_out


def _draw_view(path: str, output: NewFile, settings: ViewSettings) -> ViewReport:
    views, strips, left_out = views_of(path, settings)
    width, height = write_sheet(strips, output, path)
    return ViewReport(source=path, target=output.target, width=width, height=height, grids=views, left_out=left_out)


def _draw_difference(first: str, second: str, output: NewFile, settings: ViewSettings) -> DifferencePicture:
    strips, names = list[Strip](), list[str]()
    with GridSource(first, settings) as a, GridSource(second, settings) as b, naming(first, second):
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
