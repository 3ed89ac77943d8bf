"""nvdb compress --try: one frame at every quality, as a table; no archive is written."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Job, Report, Result, run_all
from neuralvdb.cli.output import ProgressBar, print_note, shown, size_text, table_text
from neuralvdb.cli.show import choose
from neuralvdb.cli.targets import Step, plan
from neuralvdb.cli.view import PICTURE_MEMORY, SUFFIX
from neuralvdb.errors import UsageError
from neuralvdb.settings import CompressSettings

if TYPE_CHECKING:
    from neuralvdb.api.trial import Trial, TrialReport

_HEADER = ("quality", "size", "ratio", "picture", "means within", "voxels within", "seconds")


def add_try(parser: argparse.ArgumentParser) -> None:
    """The option that asks for a trial."""
    parser.add_argument(
        "--try",
        dest="trial",
        action="store_true",
        help="no archive: a table of what every quality makes of one frame; with -o PNG their pictures side by side",
    )


def try_all(inputs: list[Input], args: argparse.Namespace, report: Report) -> None:
    """Tries every quality on the one input. Raises UsageError where there are more, or an error is allowed."""
    if args.bounds:
        raise UsageError("--try tries every quality; leave out the options that allow an error")
    if len(inputs) > 1:
        raise UsageError(f"--try takes one frame, but there are {len(inputs)}; give the one to judge by")
    work = [(step, choose(args, step.target).settings) for step in plan(inputs, args.output, SUFFIX)]
    run_all((Job(step.source, functools.partial(_process, step, settings, args)) for step, settings in work), report)


def _process(step: Step, settings: CompressSettings, args: argparse.Namespace) -> Result:
    from neuralvdb.api.jobs import ignore
    from neuralvdb.api.memory import file_size, most_memory
    from neuralvdb.api.trial import qualities, trial

    total = file_size(step.source) * (1 + settings.verify) * len(qualities(settings))
    bar = ProgressBar(lambda: total, Path(step.source).name, shown=not (args.quiet or args.json or args.json_lines))
    count = len(qualities(settings))
    runner = IsolatedRunner(
        inputs=[step.source],
        memory=lambda: PICTURE_MEMORY + count * most_memory(step.source),
        device=settings.device,
    )
    picture = step.target if args.output else None
    note = ignore if args.quiet else print_note
    report = trial(step.source, picture, settings, progress=bar, note=note, run=runner)
    return Result(json=report.as_dict(), text=_text(shown(report)))


def _text(report: TrialReport) -> str:
    """The table under the file's name, and where the picture is."""
    lines = [f"{report.source}: {size_text(report.source_size)}"]
    lines.append(table_text(_HEADER, [_cells(trial) for trial in report.trials]))
    lines.append("picture: least T-PSNR of fog; within: largest errors, as shares of their grid's range")
    return "\n".join(lines + [f"pictures side by side: {report.picture}"] * (report.picture is not None))


def _cells(trial: Trial) -> list[str]:
    """A quality's cells below _HEADER: those of its worst grids."""
    same = trial.max_share == 0
    return [
        trial.quality,
        size_text(trial.archive_size),
        f"{trial.ratio:.2f}x",
        "same" if same else "-" if trial.t_psnr is None else f"{trial.t_psnr:.1f} dB",
        "same" if same else f"{trial.mean_share:.2%}",
        "same" if same else f"{trial.max_share:.2%}",
        f"{trial.seconds:.2f}",
    ]
