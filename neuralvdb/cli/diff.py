"""nvdb diff"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result
from neuralvdb.cli.options import add_common, add_grids, add_pairs, add_priors, settings_of, wanted
from neuralvdb.cli.output import shown, table_text
from neuralvdb.cli.pairs import Pair, pair_all
from neuralvdb.cli.targets import expand_frames, in_groups
from neuralvdb.cli.view import PICTURE_MEMORY, most_grid_memory
from neuralvdb.errors import NeuralVdbError, UsageError
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX, DiffSettings, ViewSettings

if TYPE_CHECKING:
    from neuralvdb.api.diff import DiffReport, GridDiff
    from neuralvdb.api.jobs import Progress, Task

HELP = "compare two files, each a .vdb or an archive"
_HEADER = ("grid", "topology", "active voxels", "max error", "RMSE", "PSNR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("first", metavar="A", help="a .vdb file or an archive, a pattern or a folder")
    parser.add_argument("second", metavar="B", help="what to compare it with, by frame or by name if many")
    add_pairs(parser)
    parser.add_argument(
        "--image", metavar="PNG", help="draw original, decoded and eight times their difference of each grid"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing picture")
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Compares every pair of files."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder

    settings, kinds = settings_of(args, DiffSettings), wanted(args, VDB_SUFFIX, ARCHIVE_SUFFIX)
    pairs = pair_all(expand_frames([args.first], kinds, report), expand_frames([args.second], kinds, report), report)
    if args.image and len(pairs) > 1:
        raise UsageError(f"--image draws one pair of files, but there are {len(pairs)}; give the two to look at")
    groups = _groups(pairs)
    needs = [max(likely_memory(pair.first.path, pair.first.size) for pair in group) for group in groups]
    at_once = jobs_at_once(args.jobs, needs, settings.threads)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    if len(pairs) > 1:
        preload_decoder()
    single = len(pairs) == 1
    jobs = [_job([_both(pair) for pair in group], settings, args, single=single) for group in groups]
    run_batch(jobs, at_once, report)


def _both(pair: Pair) -> tuple[Input, Input]:
    assert pair.second is not None
    return pair.first, pair.second


def _groups(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs; those of frames that are decoded from each other together, in the archive where most of them are."""
    first, second = in_groups(pairs, lambda pair: _both(pair)[0]), in_groups(pairs, lambda pair: _both(pair)[1])
    return second if len(second) < len(first) else first


def _job(
    pairs: Sequence[tuple[Input, Input]], settings: DiffSettings, args: argparse.Namespace, *, single: bool
) -> FileJob[list[DiffReport | NeuralVdbError]]:
    """The work on frames of an archive and their counterparts. single: all is said of them, and no row of a table."""
    from neuralvdb.api.diff import FilePair, diff_each
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.pictures import picture_of_difference

    # A frame has the same number in both files, or one of them has no many.
    files = [FilePair(a.path, b.path, next((i.frame for i in (a, b) if i.within), None)) for a, b in pairs]
    runner = IsolatedRunner(
        inputs=list(dict.fromkeys(item.path for both in pairs for item in both)),
        memory=lambda: PICTURE_MEMORY * bool(args.image) + most_grid_memory(pairs),
    )

    @contextlib.contextmanager
    def begin(progress: Progress) -> Iterator[Task[list[DiffReport | NeuralVdbError]]]:
        if args.image:
            (pair,) = files
            drawing = replace(settings_of(args, ViewSettings), frame=pair.frame)
            picture_of_difference(pair.first, pair.second, args.image, drawing, run=runner)
        yield Task(functools.partial(diff_each, files, settings, of_files=progress))

    def finish(reports: list[DiffReport | NeuralVdbError], _: float) -> list[Result | Failure]:
        return [_outcome(both, report, args, single=single) for both, report in zip(pairs, reports, strict=True)]

    return FileJob(
        path=files[0].first, runner=runner, begin=begin, total=lambda: len(pairs), finish=finish, files=len(pairs)
    )


def _outcome(
    pair: tuple[Input, Input], report: DiffReport | NeuralVdbError, args: argparse.Namespace, *, single: bool
) -> Result | Failure:
    """What became of a pair."""
    if isinstance(report, NeuralVdbError):
        return Failure(pair[0].path, report)
    named = replace(report, first=pair[0].words, second=pair[1].words)
    return Result(
        json={**report.as_dict(), **next((item for item in pair if item.within), pair[0]).json},
        text=_text(shown(named), args.image) if single or args.verbose else "",
        table_row=None if single or args.verbose else _table_row(named),
        different=not report.same,
    )


def _table_row(report: DiffReport) -> dict[str, str]:
    """The files among others: how many grids differ, and the largest error and least PSNR of those."""
    psnr = min((grid.psnr for grid in report.grids if grid.psnr is not None), default=None)
    error = max((grid.max_error for grid in report.grids if grid.max_error is not None), default=0.0)
    return {
        "first": report.first,
        "second": report.second,
        "grids": str(len(report.grids)),
        "that differ": str(sum(not grid.same for grid in report.grids)),
        "max error": f"{error:.6g}",
        "least PSNR": "-" if psnr is None else f"{psnr:.2f} dB",
        "files": "same" if report.same else "different",
    }


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
