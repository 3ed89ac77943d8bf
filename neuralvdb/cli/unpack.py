"""nvdb unpack"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result, Sizes
from neuralvdb.cli.options import add_common, add_jobs, add_output, wanted
from neuralvdb.cli.output import shown, size_text
from neuralvdb.cli.pack import PACK_MEMORY
from neuralvdb.cli.targets import Step, expand_frames, plan
from neuralvdb.platform import available_cores
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.pack import UnpackReport

HELP = "split archives of many frames into one for each; nothing is coded again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, ARCHIVE_SUFFIX)
    add_jobs(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Splits every input."""
    steps = plan(expand_frames(args.inputs, wanted(args, ARCHIVE_SUFFIX), report), args.output, ARCHIVE_SUFFIX)
    needs = [PACK_MEMORY for _ in steps]
    at_once = jobs_at_once(args.jobs, needs, args.threads or available_cores())
    run_batch([_job(step, args) for step in steps], at_once, report)


def _job(step: Step, args: argparse.Namespace) -> FileJob[UnpackReport]:
    from neuralvdb.api.pack import unpacking

    item = step.item

    def finish(report: UnpackReport, seconds: float) -> Result:
        names = f"{item.words} -> {report.target}"
        return Result(
            json={**report.as_dict(), **item.json, "seconds": seconds},
            text=f"{shown(names)}  {size_text(report.archive_size)}",
            sizes=Sizes(item.size or report.archive_size, report.archive_size),
        )

    return FileJob(
        path=item.path,
        runner=IsolatedRunner(inputs=[item.path], memory=lambda: PACK_MEMORY),
        begin=lambda _: unpacking(item.path, item.selects, step.target, force=args.force),
        total=lambda: 1,
        finish=finish,
    )
