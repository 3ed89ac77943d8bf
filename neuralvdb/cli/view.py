"""nvdb view"""

from __future__ import annotations

import argparse
import functools
import time
from typing import TYPE_CHECKING

from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Job, Report, Result, run_all
from neuralvdb.cli.options import add_common, add_grids, add_output, add_priors, settings_of, wanted
from neuralvdb.cli.output import print_note, shown
from neuralvdb.cli.targets import Step, expand_all, plan
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX, ViewSettings

if TYPE_CHECKING:
    from neuralvdb.api.pictures import ViewReport

HELP = "draw the grids of .vdb files or archives as PNG"
PICTURE_MEMORY = 1 << 30  # bytes that flat images take beside the grids
SUFFIX = ".png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, SUFFIX)
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Draws every input."""
    settings = settings_of(args, ViewSettings)
    steps = plan(expand_all(args.inputs, wanted(args, VDB_SUFFIX, ARCHIVE_SUFFIX), report), args.output, SUFFIX)
    run_all((Job(step.source, functools.partial(_process, step, settings, args)) for step in steps), report)


def _process(step: Step, settings: ViewSettings, args: argparse.Namespace) -> Result:
    from neuralvdb.api.pictures import view

    began = time.perf_counter()
    runner = IsolatedRunner(inputs=[step.source], memory=lambda: PICTURE_MEMORY + grid_memory(step.source))
    report = view(step.source, step.target, settings, run=runner)
    if report.left_out and not args.quiet:
        print_note(f"{step.source}: not shown: {', '.join(report.left_out)}")
    seconds = round(time.perf_counter() - began, 3)
    return Result(json={**report.as_dict(), "seconds": seconds}, text=_text(shown(report), seconds))


def grid_memory(path: str) -> int:
    """Bytes that reading a file and looking at it takes. Raises InputError, DamagedFile, Unsupported."""
    from neuralvdb.api.memory import memory_needed, most_memory
    from neuralvdb.api.source import is_archive

    return 8 * memory_needed(path) if is_archive(path) else most_memory(path)


def _text(report: ViewReport, seconds: float) -> str:
    """The summary line, and one of each grid."""
    size = f"{report.width} x {report.height} pixels"
    lines = [f"{report.source} -> {report.target}  {size}  {len(report.grids)} grids  {seconds:.2f} s"]
    return "\n".join(lines + [f"  {grid.title}" for grid in report.grids])
