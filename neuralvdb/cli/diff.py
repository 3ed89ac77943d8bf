"""nvdb diff"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.options import add_common, add_grids, add_priors, settings_of
from neuralvdb.cli.output import shown, table_text
from neuralvdb.cli.view import PICTURE_MEMORY, grid_memory
from neuralvdb.settings import DiffSettings, ViewSettings

if TYPE_CHECKING:
    from neuralvdb.api.diff import DiffReport, GridDiff
    from neuralvdb.api.jobs import Progress, Task

HELP = "compare two files, each a .vdb or an archive"
_HEADER = ("grid", "topology", "active voxels", "max error", "RMSE", "PSNR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("first", metavar="A", help="a .vdb file or an archive")
    parser.add_argument("second", metavar="B", help="the one to compare it with")
    parser.add_argument(
        "--image", metavar="PNG", help="draw original, decoded and eight times their difference of each grid"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing picture")
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Compares the two files."""
    run_batch([_job(args)], 1, report)


def _job(args: argparse.Namespace) -> FileJob[DiffReport]:
    from neuralvdb.api.diff import diff
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.pictures import picture_of_difference

    inputs, settings = [args.first, args.second], settings_of(args, DiffSettings)
    runner = IsolatedRunner(
        inputs=inputs, memory=lambda: PICTURE_MEMORY * bool(args.image) + sum(map(grid_memory, inputs))
    )

    @contextlib.contextmanager
    def begin(_: Progress) -> Iterator[Task[DiffReport]]:
        if args.image:
            picture_of_difference(args.first, args.second, args.image, settings_of(args, ViewSettings), run=runner)
        yield Task(functools.partial(diff, args.first, args.second, settings))

    def finish(report: DiffReport, _: float) -> Result:
        return Result(json=report.as_dict(), text=_text(shown(report), args.image), different=not report.same)

    return FileJob(path=args.first, runner=runner, begin=begin, total=lambda: 1, finish=finish)


def _text(report: DiffReport, image: str | None) -> str:
    """A table of grids, then every change, and where the picture is."""
    same = "the same, bit for bit" if report.same else "different"
    lines = [f"{report.first} and {report.second} are {same}"]
    if report.grids:
        lines.append(table_text(_HEADER, [_cells(grid) for grid in report.grids]))
    lines += report.changes
    lines += [f"{grid.name}: {change}" for grid in report.grids for change in grid.changes]
    return "\n".join(lines + [f"original, decoded and difference: {shown(image)}"] * (image is not None))


def _cells(grid: GridDiff) -> list[str]:
    """A grid's cells below _HEADER."""
    if grid.active_voxels is None:
        return [grid.name, "-", "-", "-", "-", "same" if grid.same else "different"]
    first, second = grid.active_voxels
    psnr = "same" if not grid.rmse else "-" if grid.psnr is None else f"{grid.psnr:.2f} dB"
    return [
        grid.name,
        "equal" if grid.topology_equal else "different",
        str(first) if first == second else f"{first} / {second}",
        f"{grid.max_error:.6g}",
        f"{grid.rmse:.6g}",
        psnr,
    ]
