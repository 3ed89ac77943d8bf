"""nvdb pack"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.frames import numbers_of
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result, Sizes
from neuralvdb.cli.options import add_common, add_inputs, add_jobs, wanted
from neuralvdb.cli.output import print_note, shown, size_text
from neuralvdb.cli.targets import expand_all
from neuralvdb.errors import UsageError
from neuralvdb.frame_number import FrameNumber, number_of, ranges_text, text_of
from neuralvdb.platform import available_cores
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.pack import CheckedFrame, PackReport, Source

HELP = "join archives of frames into one; nothing is coded again"
_MOST_EXPECTED = 1 << 20  # frames that are looked for
PACK_MEMORY = 1 << 31  # bytes: of a section, and of what is known of all others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_inputs(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="the archive to write")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say which frames, of those of --frames where given, are missing, there twice or damaged",
    )
    add_jobs(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Joins all inputs, or looks whether it could."""
    from neuralvdb.api.pack import Source

    if (args.output is None) != args.check:
        raise UsageError("give -o OUT for the archive to write, or --check to write none")
    numbers = None if args.frames is None else numbers_of(args.frames, f"--frames '{args.frames}'")
    if args.check:
        args.frames = None
    inputs = expand_all(args.inputs, wanted(args, ARCHIVE_SUFFIX), report)
    if args.frames is not None and any(item.frame is None for item in inputs):
        raise UsageError("--frames says which files of a pattern are joined; those of an archive are for nvdb unpack")
    sources = [Source(item.path, item.frame) for item in inputs]
    if args.check:
        _check(sources, numbers, args, report)
    elif sources:
        run_batch([pack_job(sources, args.output, force=args.force)], 1, report)


def pack_job(sources: Sequence[Source], target: str, *, force: bool, counted: int = 0) -> FileJob[PackReport]:
    """Joins archives. counted: bytes of them that other results have, so that the total is right."""
    from neuralvdb.api.pack import packing

    def finish(report: PackReport, seconds: float) -> Result:
        if report.twice:
            print_note(f"{target}: there twice, and the same: {ranges_text([number_of(n) for n in report.twice])}")
        before = 0 if counted else report.source_size
        return Result(
            json={**report.as_dict(), "seconds": seconds},
            text=_text(report, seconds),
            sizes=Sizes(before, report.archive_size - counted),
            skipped=report.skipped,
        )

    return FileJob(
        path=target,
        runner=IsolatedRunner(inputs=[source.path for source in sources], memory=lambda: PACK_MEMORY),
        begin=lambda progress: packing(sources, target, force=force, progress=progress),
        total=lambda: 1,
        finish=finish,
    )


def _text(report: PackReport, seconds: float) -> str:
    frames = f"{len(report.frames)} frames: {ranges_text([number_of(number) for number in report.frames])}"
    sizes = f"{size_text(report.source_size)} -> {size_text(report.archive_size)}"
    ratio = f"{report.source_size / report.archive_size:.2f}x"
    state = "  skipped: it is there, and the same" if report.skipped else f"  {seconds:.2f} s"
    return f"{shown(report.target)}  {frames}  {sizes}  {ratio}{state}"


def _check(
    sources: Sequence[Source], numbers: list[FrameNumber] | None, args: argparse.Namespace, report: Report
) -> None:
    """Reads all archives and says which frames are missing or there twice."""
    frames: list[CheckedFrame] = []
    jobs = [_check_job(source, frames) for source in sources]
    run_batch(jobs, jobs_at_once(args.jobs, [PACK_MEMORY] * len(jobs), args.threads or available_cores()), report)
    contents: dict[FrameNumber, list[str]] = {}
    for frame in frames:
        contents.setdefault(number_of(frame.number), []).append(frame.content)
    numbers_held = sorted(contents)
    outcome = {
        "frames": numbers_held,
        "missing": [n for n in (all_between(numbers_held) if numbers is None else numbers) if n not in contents],
        "twice": [n for n in numbers_held if len(contents[n]) > 1],
        "differing": [n for n in numbers_held if len(set(contents[n])) > 1],
    }
    lines = [f"{len(numbers_held)} frames: {ranges_text(numbers_held)}"]
    for key, words in (("missing", "missing"), ("twice", "there twice"), ("differing", "there twice, not the same")):
        lines += [f"{words}: {ranges_text(outcome[key])}"] * bool(outcome[key])
    result = Result(
        json={key: [text_of(number) for number in of_key] for key, of_key in outcome.items()},
        text="\n".join(lines),
        different=bool(outcome["missing"] or outcome["differing"]),
        is_total=True,
    )
    report.result(result, len(sources))


def _check_job(source: Source, frames: list[CheckedFrame]) -> FileJob[list[CheckedFrame]]:
    """frames: gets those of the archive."""
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.pack import checked

    def finish(of_archive: list[CheckedFrame], _: float) -> Result:
        frames.extend(of_archive)
        return Result(json={"path": source.path, "frames": [frame.number for frame in of_archive]}, text="")

    return FileJob(
        path=source.path,
        runner=IsolatedRunner(inputs=[source.path], memory=lambda: PACK_MEMORY),
        begin=lambda _: nullcontext(Task(functools.partial(checked, source))),
        total=lambda: 1,
        finish=finish,
    )


def all_between(numbers: Sequence[FrameNumber]) -> list[FrameNumber]:
    """The whole numbers from the first to the last of such that grow, as far apart as two of these are at least; none
    where they are far more than there are."""
    whole = [number for number in numbers if isinstance(number, int)]
    if len(whole) < 2:
        return []
    step = min(b - a for a, b in itertools.pairwise(whole))
    return list(range(whole[0], whole[-1] + 1, step)) if whole[-1] - whole[0] < step * _MOST_EXPECTED else []
