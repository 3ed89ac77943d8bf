"""nvdb view"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result
from neuralvdb.cli.options import add_common, add_grids, add_jobs, add_output, add_priors, settings_of, wanted
from neuralvdb.cli.output import print_note, shown
from neuralvdb.cli.targets import Step, expand_frames, in_groups, plan
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX, ViewSettings

if TYPE_CHECKING:
    from neuralvdb.api.pictures import ViewReport

HELP = "draw the grids of .vdb files or archives as PNG"
PICTURE_MEMORY = 1 << 30  # bytes that flat images take beside the grids
SUFFIX = ".png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, SUFFIX)
    add_jobs(parser)
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Draws every input. Raises Unsupported without Pillow."""
    settings = settings_of(args, ViewSettings)
    steps = plan(expand_frames(args.inputs, wanted(args, VDB_SUFFIX, ARCHIVE_SUFFIX), report), args.output, SUFFIX)
    groups = in_groups(steps, lambda step: step.item)
    at_once = prepare_pictures([[step.item for step in group] for group in groups], args)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    run_batch([_job(group, settings, args) for group in groups], at_once, report)


def prepare_pictures(groups: Sequence[Sequence[Input]], args: argparse.Namespace) -> int:
    """How many groups of inputs to look at at once; loads what that takes. Raises Unsupported without Pillow."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder, preload_pictures

    preload_pictures()
    if sum(map(len, groups)) > 1:
        preload_decoder()
    needs = [PICTURE_MEMORY + max(likely_memory(item.path, item.size) for item in group) for group in groups]
    return jobs_at_once(args.jobs, needs, ViewSettings().threads)


def _job(
    steps: Sequence[Step], settings: ViewSettings, args: argparse.Namespace
) -> FileJob[list[ViewReport | NeuralVdbError]]:
    """The work on frames of one archive, or on a file."""
    from neuralvdb.api.outputs import FrameTarget
    from neuralvdb.api.pictures import viewing

    source = steps[0].source
    frames = [FrameTarget(step.item.selects, step.target, settings.force) for step in steps]

    def finish(reports: list[ViewReport | NeuralVdbError], seconds: float) -> list[Result | Failure]:
        each = round(seconds / len(steps), 3)
        return [_outcome(step, report, each, args) for step, report in zip(steps, reports, strict=True)]

    return FileJob(
        path=source,
        runner=IsolatedRunner(
            inputs=[source], memory=lambda: PICTURE_MEMORY + most_grid_memory([[step.item] for step in steps])
        ),
        begin=lambda progress: viewing(source, frames, settings, progress=progress),
        total=lambda: len(steps),
        finish=finish,
        files=len(steps),
    )


def _outcome(
    step: Step, report: ViewReport | NeuralVdbError, seconds: float, args: argparse.Namespace
) -> Result | Failure:
    """What became of a file or frame."""
    if isinstance(report, NeuralVdbError):
        return Failure(step.source, report)
    if report.left_out and not args.quiet:
        print_note(f"{step.item.words}: not shown: {', '.join(report.left_out)}")
    return Result(
        json={**report.as_dict(), **step.item.json, "seconds": seconds},
        text=_text(shown(replace(report, source=step.item.words)), seconds),
    )


def most_grid_memory(groups: Sequence[Sequence[Input]]) -> int:
    """Bytes that reading inputs together and looking at them takes, the most of several groups of them. Those that
    cannot be read take nothing, where they are not alone. Raises InputError, DamagedFile, Unsupported."""
    if len(groups) == 1:
        return sum(map(_grid_memory, groups[0]))
    most = 0
    for group in groups:
        with contextlib.suppress(NeuralVdbError):
            most = max(most, sum(map(_grid_memory, group)))
    return most


def _grid_memory(item: Input) -> int:
    from neuralvdb.api.memory import memory_needed, most_memory
    from neuralvdb.api.source import is_archive

    path = item.path
    return 8 * memory_needed(path, number=item.selects) if is_archive(path) else most_memory(path)


def _text(report: ViewReport, seconds: float) -> str:
    """The summary line, and one of each grid."""
    size = f"{report.width} x {report.height} pixels"
    lines = [f"{report.source} -> {report.target}  {size}  {len(report.grids)} grids  {seconds:.2f} s"]
    return "\n".join(lines + [f"  {grid.title}" for grid in report.grids])
