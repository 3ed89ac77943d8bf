"""nvdb compress"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner, tell
from neuralvdb.cli.jobs import Report, Result, Sizes
from neuralvdb.cli.loss import compress_text, promise_text
from neuralvdb.cli.many import Chunk, Many, OfFrames
from neuralvdb.cli.options import (
    add_common,
    add_device,
    add_grids,
    add_jobs,
    add_leave_out,
    add_output,
    add_priors,
    add_skip_existing,
    split_names,
    wanted,
)
from neuralvdb.cli.output import print_note, shown, size_text
from neuralvdb.cli.show import PROJECT_FILE, Choice, choose
from neuralvdb.cli.targets import Step, expand_all, plan
from neuralvdb.cli.trial import add_try, try_all
from neuralvdb.errors import UsageError
from neuralvdb.frame_number import text_of
from neuralvdb.platform import file_state
from neuralvdb.presets import presets
from neuralvdb.settings import (
    ARCHIVE_SUFFIX,
    DEFAULT_CHUNK,
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    EFFORTS,
    MAX_CHUNK,
    TOPOLOGIES,
    VDB_SUFFIX,
    Bound,
    CompressSettings,
)

if TYPE_CHECKING:
    from neuralvdb.api.compress import CompressReport
    from neuralvdb.api.jobs import Note
    from neuralvdb.api.shot import FrameSource

HELP = "turn .vdb files into small archives"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, ARCHIVE_SUFFIX)
    add_skip_existing(
        parser, "leave an output that is whole and was made of this file with these settings; replace others"
    )
    add_jobs(parser)
    _add_chunk(parser)
    _add_presets(parser)
    _add_bounds(parser)
    parser.add_argument(
        "--topology",
        choices=TOPOLOGIES,
        default=TOPOLOGIES[0],
        help="pruned: active voxels within the maximum error of the background may become inactive (default: exact)",
    )
    _add_networks(parser)
    add_device(parser, "where lossy values are coded; cuda: all GPUs; auto: GPUs for large grids (default)")
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="do not decode and compare what was written; of fog it is"
        " measured all the same how it looks, which the presets promise",
    )
    add_grids(parser)
    add_leave_out(parser)
    add_try(parser)
    add_common(parser)


def _add_presets(parser: argparse.ArgumentParser) -> None:
    quality = parser.add_mutually_exclusive_group()
    quality.add_argument(
        "--quality",
        metavar="NAME",
        help=f"a preset: {', '.join(presets())} (default: {DEFAULT_QUALITY})",
    )
    quality.add_argument(
        "--lossless",
        action="store_const",
        const="lossless",
        dest="quality",
        help="keep every bit; short for --quality lossless",
    )
    parser.add_argument(
        "--presets",
        dest="presets_file",
        metavar="FILE",
        help="a file of your own presets, like configs/presets.toml",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"a show's settings (default: {PROJECT_FILE} in the nearest folder above the output that has one)",
    )


def _add_chunk(parser: argparse.ArgumentParser) -> None:
    chunk = parser.add_mutually_exclusive_group()
    chunk.add_argument(
        "--chunk",
        type=_chunk,
        default=DEFAULT_CHUNK,
        metavar="N",
        help="of frames that become one archive, how many may be coded from each other, one after the other, and are"
        f" one piece of work (default: {DEFAULT_CHUNK})",
    )
    chunk.add_argument(
        "--all-intra", action="store_const", const=1, dest="chunk", help="code each frame alone; short for --chunk 1"
    )


def _chunk(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MAX_CHUNK:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of frames from 1 to {MAX_CHUNK}")
    return int(text)


def _add_networks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--effort",
        type=int,
        default=DEFAULT_EFFORT,
        choices=range(len(EFFORTS)),
        metavar="0..9",
        help="how long networks are fine-tuned to each grid, of a shot to all frames of a chunk; changes are kept "
        "where they save bytes"
        f" (default: {DEFAULT_EFFORT})",
    )
    parser.add_argument(
        "--fast", action="store_true", help="networks without hidden layers: less time both ways, some bytes more"
    )
    add_priors(parser, "a file of networks from nvdb train, in place of those shipped")
    parser.add_argument(
        "--embed-priors", action="store_true", help="store in each archive the networks it needs (~80 kB)"
    )


def run(args: argparse.Namespace, report: Report) -> None:
    """Compresses every input."""
    inputs = expand_all(args.inputs, wanted(args, VDB_SUFFIX), report)
    if args.trial:
        return try_all(inputs, args, report)
    many = Many.of(inputs, args.output)
    if many is None:
        work = [(step, choose(args, step.target)) for step in plan(inputs, args.output, ARCHIVE_SUFFIX)]
        return _compress(work, args, report) if work else None
    many.begin(args)
    choice, frames = choose(args, Path(many.target)), OfFrames(report)
    chunks = many.cut(args.chunk if choice.settings.lossy else 1)
    _compress_shot(chunks, many, choice, args, frames)
    many.finish(chunks, frames, report)


def _compress(work: Sequence[tuple[Step, Choice]], args: argparse.Namespace, report: Report) -> None:
    """Compresses each input with its settings."""
    at_once = _prepare([step.source for step, _ in work], work[0][1].settings, args)
    run_batch([_job(step, choice, args, at_once) for step, choice in work], at_once, report)


def _compress_shot(
    chunks: Sequence[Chunk], many: Many, choice: Choice, args: argparse.Namespace, report: Report
) -> None:
    """Compresses each chunk of a shot."""
    largest = [max(chunk.paths, key=lambda path: (file_state(path) or (0, 0))[0]) for chunk in chunks]
    at_once = _prepare(largest, choice.settings, args)
    run_batch([_chunk_job(chunk, many, choice, args, at_once) for chunk in chunks], at_once, report)


def _prepare(sources: Sequence[str], settings: CompressSettings, args: argparse.Namespace) -> int:
    """Loads what work on files needs; gives how many are worked on at once."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_encoder
    from neuralvdb.api.processor import products

    if args.verbose:
        print_note(f"predictions are computed with {products()}")
    if len(sources) > 1:
        preload_encoder(settings)
    return jobs_at_once(args.jobs, [likely_memory(path) for path in sources], settings.threads, settings.device)


def _job(step: Step, choice: Choice, args: argparse.Namespace, at_once: int) -> FileJob[CompressReport]:
    from neuralvdb.api.compress import compressing
    from neuralvdb.api.memory import most_memory

    settings = _settings(str(step.target), choice, args, at_once)
    size, _ = file_state(step.source) or (0, 0)

    def finish(report: CompressReport, seconds: float) -> Result:
        return _result(report, choice, args, seconds, None)

    return FileJob(
        path=step.source,
        runner=IsolatedRunner(
            inputs=[step.source], memory=functools.partial(most_memory, step.source), device=settings.device
        ),
        begin=lambda progress: compressing(step.source, step.target, settings, progress=progress, note=_note(args)),
        total=lambda: size * (1 + settings.verify),
        finish=finish,
    )


def _chunk_job(
    chunk: Chunk, many: Many, choice: Choice, args: argparse.Namespace, at_once: int
) -> FileJob[list[CompressReport]]:
    from neuralvdb.api.jobs import Listeners
    from neuralvdb.api.memory import most_memory
    from neuralvdb.api.shot import compressing_frames

    settings = replace(_settings(many.target, choice, args, at_once), force=True)
    sizes = [(file_state(path) or (0, 0))[0] for path in chunk.paths]

    told: list[Result] = []

    def result(frame: FrameSource, report: CompressReport, seconds: float) -> Result:
        return _result(replace(report, target=many.target), choice, args, seconds, text_of(frame.number))

    def hear(report: CompressReport, seconds: float) -> Result:
        told.append(result(chunk.frames[len(told)], report, seconds))
        return told[-1]

    def finish(reports: list[CompressReport], seconds: float) -> list[Result]:
        many.keep(chunk, reports)
        if len(told) == len(reports):
            return told
        return [
            result(frame, report, seconds / len(reports)) for frame, report in zip(chunk.frames, reports, strict=True)
        ]

    return FileJob(
        path=chunk.paths[0],
        runner=IsolatedRunner(
            inputs=chunk.paths, memory=lambda: 3 * max(map(most_memory, chunk.paths)), device=settings.device
        ),
        begin=lambda progress: compressing_frames(
            chunk.frames, str(chunk.target), settings, many.so_far(chunk), Listeners(progress, _note(args), tell)
        ),
        total=lambda: sum(sizes) * (1 + settings.verify),
        finish=finish,
        hear=hear,
        files=len(chunk.frames),
    )


def _settings(target: str, choice: Choice, args: argparse.Namespace, at_once: int) -> CompressSettings:
    """The settings of one of the files that are worked on at once."""
    if args.verbose and choice.project_file:
        print_note(f"{target}: settings of {choice.project_file}")
    return replace(choice.settings, threads=max(choice.settings.threads // at_once, 1))


def _note(args: argparse.Namespace) -> Note:
    """What hears of notes."""
    from neuralvdb.api.jobs import ignore

    return ignore if args.quiet else print_note


def _result(
    report: CompressReport, choice: Choice, args: argparse.Namespace, seconds: float, frame: str | None
) -> Result:
    return Result(
        json={**report.as_dict(), "frame": frame, "config": choice.project_file, "seconds": round(seconds, 3)},
        text=_text(shown(report), choice.settings, seconds) + _details(shown(report)) * args.verbose,
        sizes=Sizes(report.source_size, report.archive_size),
        skipped=report.skipped,
    )


def _text(report: CompressReport, settings: CompressSettings, seconds: float) -> str:
    """The summary line."""
    names = f"{report.source} -> {report.target}"
    sizes = f"{size_text(report.source_size)} -> {size_text(report.archive_size)}"
    if report.skipped:
        return f"{names}  {sizes}  {report.ratio:.2f}x  skipped: it is there, whole and made so"
    kept = compress_text(report, settings)
    return f"{names}  {kept}  {sizes}  {len(report.grids)} grids  {seconds:.2f} s on {report.device}"


def _details(report: CompressReport) -> str:
    """What is promised of each grid, a line each."""
    return f"\n{promise_text(report.promises, report.pruned)}" * bool(report.promises)


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    """Options that allow errors; of several the last one that names a grid holds."""
    add = functools.partial(parser.add_argument, dest="bounds", action="extend", default=[])
    add(
        "--max-error",
        type=_bounds,
        metavar="A",
        help="no active value is off by more than this; level sets: voxels; per grid: density=0.002,vel=1%%",
    )
    add(
        "--rel-error",
        type=functools.partial(_bounds, relative=True),
        metavar="R",
        help="like --max-error, as a share of the active range: 0.01 or 1%%",
    )
    add(
        "--tolerance",
        type=_tolerance,
        metavar="A,R",
        help="a value v may be off by A or by R |v|, whichever is more: fine in thin smoke, coarse in its core",
    )
    add(
        "--psnr",
        type=functools.partial(_bounds, decibels=True),
        metavar="DB",
        help="the active values keep this PSNR, peak = active range",
    )


def _bounds(text: str, *, relative: bool = False, decibels: bool = False) -> tuple[Bound, ...]:
    """The bounds of `0.01`, `1%` or `density=0.002,vel=1%`; percent are always relative, `a\\,b=0.1` names `a,b`."""
    return tuple(_bound(item, relative=relative, decibels=decibels) for item in split_names(text))


def _bound(text: str, *, relative: bool = False, decibels: bool = False) -> Bound:
    grid, _, number = text.rpartition("=")
    percent = number.endswith("%") and not decibels
    try:
        value = float(number.removesuffix("%") if percent else number) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < (300 if decibels else float("inf")):
        example = "PSNR in dB such as 45 or density=45" if decibels else "error bound such as 0.01, 1% or density=0.002"
        raise argparse.ArgumentTypeError(f"'{text}' is no {example}")
    try:
        return Bound(value=value, relative=relative or percent, grid=grid, decibels=decibels)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from error


def _tolerance(text: str) -> tuple[Bound, ...]:
    """The bound of `0.001,0.05` or `density=0.1%,5%`; a percentage in the first place is a share of the range."""
    first, _, second = text.partition(",")
    absolute, ratio = _bound(first), _bound(second or "-", relative=True)
    if ratio.value >= 1 or ratio.grid:
        raise argparse.ArgumentTypeError(f"'{text}' is no tolerance such as 0.001,5%")
    return (replace(absolute, ratio=ratio.value),)
