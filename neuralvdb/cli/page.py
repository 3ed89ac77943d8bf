"""nvdb report"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, run_batch
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result, failures_reported
from neuralvdb.cli.options import add_common, add_grids, add_inputs, add_jobs, add_priors, settings_of, wanted
from neuralvdb.cli.output import shown, size_text
from neuralvdb.cli.targets import expand_frames, in_groups
from neuralvdb.cli.view import PICTURE_MEMORY, most_grid_memory, prepare_pictures
from neuralvdb.errors import InputError, NeuralVdbError, OutputExists
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
    groups = in_groups(inputs, lambda item: item)
    at_once = prepare_pictures(groups, args)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    of_frames = _OfFrames(report, drawn={inputs[0], inputs[(len(inputs) - 1) // 2], inputs[-1]})
    run_batch([_job(group, settings, of_frames) for group in groups], at_once, of_frames)
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
    """A Report of the frames of one page: keeps what they are, and passes on all but that they are done. drawn: those
    with a picture."""

    def __init__(self, report: Report, drawn: Set[Input]) -> None:
        self._report, self.drawn = report, drawn
        self.facts: dict[Input, FrameFacts] = {}

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown."""
        return self._report.shows_progress

    def take(self, item: Input, outcome: FrameFacts | NeuralVdbError) -> Result | Failure:
        """Keeps what a frame is."""
        if isinstance(outcome, NeuralVdbError):
            return Failure(item.path, outcome)
        self.facts[item] = replace(outcome, name=Path(item.name).name)
        return Result(json={}, text="")

    def begin(self, _: int, /) -> None:
        """The page is the file that is counted."""

    def progress(self, share: float, ahead: int = 0, /) -> None:
        """Passes it on."""
        self._report.progress(share, ahead)

    def ahead(self, _: Result, __: int, /) -> None:
        """The page says it."""

    def result(self, _: Result, __: int = 0, /) -> None:
        """The page says it."""

    def failure(self, failure: Failure, number: int = 0, /) -> None:
        """Passes it on."""
        self._report.failure(failure, number)


def _job(
    items: Sequence[Input], settings: ReportSettings, of_frames: _OfFrames
) -> FileJob[list[FrameFacts | NeuralVdbError]]:
    """The work on frames of one archive."""
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.sequence import FrameOfPage, facts_of_each, original_of

    path = items[0].path
    frames = [FrameOfPage(i.selects, original_of(i.name, settings), i in of_frames.drawn) for i in items]
    originals = [frame.original for frame in frames if frame.original is not None]
    groups = [
        [item] if frame.original is None else [item, Input(frame.original)]
        for item, frame in zip(items, frames, strict=True)
    ]

    def finish(outcomes: list[FrameFacts | NeuralVdbError], _: float) -> list[Result | Failure]:
        return [of_frames.take(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]

    return FileJob(
        path=path,
        runner=IsolatedRunner(inputs=[path, *originals], memory=lambda: PICTURE_MEMORY + most_grid_memory(groups)),
        begin=lambda progress: contextlib.nullcontext(
            Task(functools.partial(facts_of_each, path, frames, settings, progress=progress))
        ),
        total=lambda: len(items),
        finish=finish,
        files=len(items),
    )
