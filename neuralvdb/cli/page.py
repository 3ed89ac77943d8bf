"""nvdb report"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Job, Report, Result, run_all
from neuralvdb.cli.options import add_common, add_grids, add_inputs, add_priors, settings_of, wanted
from neuralvdb.cli.output import ProgressBar, shown, size_text
from neuralvdb.cli.targets import expand_all
from neuralvdb.cli.view import PICTURE_MEMORY, grid_memory
from neuralvdb.errors import InputError, NeuralVdbError, OutputExists
from neuralvdb.settings import ARCHIVE_SUFFIX, ReportSettings

if TYPE_CHECKING:
    from neuralvdb.api.sequence import FrameFacts

HELP = "write an HTML page of a sequence: sizes, grids, quality, pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_inputs(parser)
    parser.add_argument("-o", "--output", metavar="HTML", default="report.html", help="the page (default: report.html)")
    parser.add_argument("--force", action="store_true", help="overwrite an existing page")
    parser.add_argument(
        "--originals", metavar="DIR", default="", help="folder of the .vdb files, of the same names, to compare with"
    )
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Looks into every frame and writes one page. Raises OutputExists before any frame is read."""
    settings = settings_of(args, ReportSettings)
    if Path(args.output).exists() and not args.force:
        raise OutputExists(f"{args.output}: exists already; use --force to overwrite it")
    items = expand_all(args.inputs, wanted(args, ARCHIVE_SUFFIX), report)
    if items:
        run_all([Job(args.output, functools.partial(_process, items, settings, args, report))], report)


def _process(items: list[Input], settings: ReportSettings, args: argparse.Namespace, report: Report) -> Result:
    from neuralvdb.api.sequence import write_report

    began = time.perf_counter()
    bar = ProgressBar(
        lambda: len(items), Path(args.output).name, shown=not (args.quiet or args.json or args.json_lines), unit="frame"
    )
    drawn = {0, (len(items) - 1) // 2, len(items) - 1}
    frames = []
    for number, item in enumerate(items):
        try:
            frames.append(_facts(item.path, settings, picture=number in drawn))
        except NeuralVdbError as error:
            report.failure(Failure(item.path, error))
        bar(1)
    if not frames:
        raise InputError(f"{args.output}: no frame could be read; nothing was written")
    write_report(frames, args.output, settings)
    seconds = round(time.perf_counter() - began, 3)
    size = sum(frame.size for frame in frames)
    json = {"target": args.output, "frames": [frame.as_dict() for frame in frames], "size": size, "seconds": seconds}
    text = f"{len(frames)} frames, {size_text(size)} -> {args.output}  {seconds:.2f} s"
    return Result(json=json, text=shown(text))


def _facts(path: str, settings: ReportSettings, *, picture: bool) -> FrameFacts:
    from neuralvdb.api.sequence import frame_facts, original_of

    inputs = [path, *filter(None, [original_of(path, settings)])]
    runner = IsolatedRunner(inputs=inputs, memory=lambda: PICTURE_MEMORY + sum(map(grid_memory, inputs)))
    return runner(functools.partial(frame_facts, path, settings, picture=picture))
