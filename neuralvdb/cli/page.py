"""nvdb report"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, run_batch
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result, failures_reported
from neuralvdb.cli.options import add_common, add_grids, add_inputs, add_jobs, add_priors, settings_of, wanted
from neuralvdb.cli.output import shown, size_text
from neuralvdb.cli.targets import expand_frames
from neuralvdb.cli.view import PICTURE_MEMORY, grid_memory, prepare_pictures
from neuralvdb.errors import InputError, OutputExists
from neuralvdb.settings import ARCHIVE_SUFFIX, ReportSettings

if TYPE_CHECKING:
    from neuralvdb.api.sequence import FrameFacts

HELP = "write an HTML page of a sequence: sizes, grids, quality, pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_inputs(parser)
    add_jobs(parser)
    parser.add_argument("-o", "--output", metavar="HTML", default="report.html", help="the page (default: report.html)")
    parser.add_argument("--force", action="store_true", help="overwrite an existing page")
    parser.add_argument(
        "--originals", metavar="DIR", default="", help="folder of the .vdb files, of the same names, to compare with"
    )
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Looks into every frame and writes one page. Raises OutputExists, Unsupported before any frame is read."""
    settings = settings_of(args, ReportSettings)
    if Path(args.output).exists() and not args.force:
        raise OutputExists(f"{args.output}: exists already; use --force to overwrite it")
    inputs = expand_frames(args.inputs, wanted(args, ARCHIVE_SUFFIX), report)
    if inputs:
        report.begin(1)
        with failures_reported(args.output, report, 0):
            _write_page(inputs, settings, args, report)


def _write_page(inputs: list[Input], settings: ReportSettings, args: argparse.Namespace, report: Report) -> None:
    """Reports what cannot be read, and the page of the others."""
    from neuralvdb.api.sequence import write_report

    began = time.perf_counter()
    at_once = prepare_pictures(inputs, args)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    drawn, of_frames = {0, (len(inputs) - 1) // 2, len(inputs) - 1}, _OfFrames(report)
    jobs = [_job(item, settings, number in drawn, of_frames) for number, item in enumerate(inputs)]
    run_batch(jobs, at_once, of_frames)
    frames = [of_frames.facts[item] for item in inputs if item in of_frames.facts]
    if not frames:
        if len(inputs) == 1:  # all is said
            return
        raise InputError(f"{args.output}: no frame could be read; nothing was written")
    write_report(frames, args.output, settings)
    seconds = round(time.perf_counter() - began, 3)
    size = sum(frame.size for frame in frames)
    json = {"target": args.output, "frames": [frame.as_dict() for frame in frames], "size": size, "seconds": seconds}
    text = f"{len(frames)} frames, {size_text(size)} -> {args.output}  {seconds:.2f} s"
    report.result(Result(json=json, text=shown(text)))


class _OfFrames:
    """A Report of the frames of one page: keeps what they are, and passes on all but that they are done."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.facts: dict[Input, FrameFacts] = {}

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown."""
        return self._report.shows_progress

    def begin(self, _: int, /) -> None:
        """The page is the file that is counted."""

    def progress(self, share: float, /) -> None:
        """Passes it on."""
        self._report.progress(share)

    def result(self, _: Result, __: int = 0, /) -> None:
        """The page says it."""

    def failure(self, failure: Failure, number: int = 0, /) -> None:
        """Passes it on."""
        self._report.failure(failure, number)


def _job(item: Input, settings: ReportSettings, picture: bool, of_frames: _OfFrames) -> FileJob[FrameFacts]:
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.sequence import frame_facts, original_of

    settings = replace(settings, frame=item.selects)
    original = original_of(item.name, settings)
    inputs = [item, *([] if original is None else [Input(original)])]
    work = functools.partial(frame_facts, item.path, settings, original=original, picture=picture)

    def finish(facts: FrameFacts, _: float) -> Result:
        of_frames.facts[item] = replace(facts, name=Path(item.name).name)
        return Result(json={}, text="")

    return FileJob(
        path=item.path,
        runner=IsolatedRunner(
            inputs=[each.path for each in inputs], memory=lambda: PICTURE_MEMORY + sum(map(grid_memory, inputs))
        ),
        begin=lambda _: contextlib.nullcontext(Task(work)),
        total=lambda: 1,
        finish=finish,
    )
