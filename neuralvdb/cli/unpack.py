"""nvdb unpack"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result, Sizes
from neuralvdb.cli.options import add_common, add_jobs, add_output, wanted
from neuralvdb.cli.output import shown, size_text
from neuralvdb.cli.pack import PACK_MEMORY
from neuralvdb.cli.targets import Step, expand_frames, in_groups, plan
from neuralvdb.frame_number import ranges_text, text_of
from neuralvdb.platform import available_cores
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.pack import UnpackReport

HELP = "split archives of many frames into one for each, or for those that need each other; nothing is coded again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, ARCHIVE_SUFFIX)
    add_jobs(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Splits every input."""
    steps = plan(expand_frames(args.inputs, wanted(args, ARCHIVE_SUFFIX), report), args.output, ARCHIVE_SUFFIX)
    groups = in_groups(steps, lambda step: step.item)
    at_once = jobs_at_once(args.jobs, [PACK_MEMORY] * len(groups), args.threads or available_cores())
    run_batch([_job(group, args) for group in groups], at_once, report)


def _job(steps: Sequence[Step], args: argparse.Namespace) -> FileJob[UnpackReport]:
    """steps: frames that are decoded from each other, and become one archive, called as the first."""
    from neuralvdb.api.pack import unpacking

    item, numbers = steps[0].item, [step.item.frame for step in steps if step.item.frame is not None]

    def finish(report: UnpackReport, seconds: float) -> Result:
        what = item.words if len(steps) == 1 else f"{item.path} frames {ranges_text(numbers)}"
        return Result(
            json={**report.as_dict(), **item.json, "frames": [text_of(n) for n in numbers], "seconds": seconds},
            text=f"{shown(f'{what} -> {report.target}')}  {size_text(report.archive_size)}",
            sizes=Sizes(sum(step.item.size or 0 for step in steps) or report.archive_size, report.archive_size),
        )

    return FileJob(
        path=item.path,
        runner=IsolatedRunner(inputs=[item.path], memory=lambda: PACK_MEMORY),
        begin=lambda _: unpacking(item.path, numbers if item.within else [], steps[0].target, force=args.force),
        total=lambda: 1,
        finish=finish,
    )
