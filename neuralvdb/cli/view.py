"""nvdb view"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.options import add_common, add_grids, add_jobs, add_output, add_priors, settings_of, wanted
from neuralvdb.cli.output import print_note, shown
from neuralvdb.cli.targets import Step, expand_frames, plan
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
    at_once = prepare_pictures([step.item for step in steps], args)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    run_batch([_job(step, settings, args) for step in steps], at_once, report)


def prepare_pictures(inputs: Sequence[Input], args: argparse.Namespace) -> int:
    """How many of the inputs to look at at once; loads what that takes. Raises Unsupported without Pillow."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder, preload_pictures

    preload_pictures()
    if len(inputs) > 1:
        preload_decoder()
    needs = [PICTURE_MEMORY + likely_memory(item.path, item.size) for item in inputs]
    return jobs_at_once(args.jobs, needs, ViewSettings().threads)


def _job(step: Step, settings: ViewSettings, args: argparse.Namespace) -> FileJob[ViewReport]:
    from neuralvdb.api.pictures import viewing

    def finish(report: ViewReport, seconds: float) -> Result:
        if report.left_out and not args.quiet:
            print_note(f"{step.item.words}: not shown: {', '.join(report.left_out)}")
        return Result(
            json={**report.as_dict(), **step.item.json, "seconds": seconds},
            text=_text(shown(replace(report, source=step.item.words)), seconds),
        )

    return FileJob(
        path=step.source,
        runner=IsolatedRunner(inputs=[step.source], memory=lambda: PICTURE_MEMORY + grid_memory(step.item)),
        begin=lambda _: viewing(step.source, step.target, replace(settings, frame=step.item.selects)),
        total=lambda: 1,
        finish=finish,
    )


def grid_memory(item: Input) -> int:
    """Bytes that reading an input and looking at it takes. Raises InputError, DamagedFile, Unsupported."""
    from neuralvdb.api.memory import memory_needed, most_memory
    from neuralvdb.api.source import is_archive

    path = item.path
    return 8 * memory_needed(path, number=item.selects) if is_archive(path) else most_memory(path)


def _text(report: ViewReport, seconds: float) -> str:
    """The summary line, and one of each grid."""
    size = f"{report.width} x {report.height} pixels"
    lines = [f"{report.source} -> {report.target}  {size}  {len(report.grids)} grids  {seconds:.2f} s"]
    return "\n".join(lines + [f"  {grid.title}" for grid in report.grids])
