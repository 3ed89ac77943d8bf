"""nvdb verify"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Job, Outcome, Result, device_memory, run_all
from neuralvdb.cli.options import add_common, add_device, add_priors, settings_of
from neuralvdb.cli.output import ProgressBar
from neuralvdb.settings import VerifySettings

if TYPE_CHECKING:
    from neuralvdb.api import VerifyReport

HELP = "check an archive, alone or against the file it was made from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("archive", metavar="ARCHIVE", help="the archive to check")
    parser.add_argument("original", metavar="VDB", nargs="?", help="the .vdb file it was made from")
    add_priors(parser)
    add_device(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> Outcome:
    """Verifies the archive."""
    settings = settings_of(args, VerifySettings)
    return run_all([Job(args.archive, functools.partial(_process, settings, args))])


def _process(settings: VerifySettings, args: argparse.Namespace) -> Result:
    from neuralvdb.api import verify
    from neuralvdb.api.memory import memory_needed, most_memory

    memory = 4 * memory_needed(args.archive) + device_memory(settings.device)
    if args.original:
        memory += most_memory(args.original)
    bar = ProgressBar(0, Path(args.archive).name, shown=not (args.quiet or args.json))
    runner = IsolatedRunner(args.original or args.archive, memory)
    report = runner(functools.partial(verify, args.archive, args.original, settings, progress=bar))
    return Result(json=report.as_dict(), text=_text(report), different=bool(report.differences))


def _text(report: VerifyReport) -> str:
    """One line, or one for each difference."""
    if report.differences:
        return "\n".join(f"{report.path}: {line}" for line in report.differences)
    against = f", the same as {report.original}" if report.original else ""
    return f"{report.path}: all {report.grids} grids decode on {report.device} to what was stored{against}"
