"""nvdb compress"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result, Sizes
from neuralvdb.cli.loss import compress_text, promise_text
from neuralvdb.cli.many import Many, OfFrames
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
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    EFFORTS,
    TOPOLOGIES,
    VDB_SUFFIX,
    Bound,
    CompressSettings,
)

if TYPE_CHECKING:
    from neuralvdb.api.compress import CompressReport

HELP = "turn .vdb files into small archives"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, ARCHIVE_SUFFIX)
    add_skip_existing(
        parser, "leave an output that is whole and was made of this file with these settings; replace others"
    )
    add_jobs(parser)
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
        "--no-verify", dest="verify", action="store_false", help="do not decode and compare what was written"
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


def _add_networks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--effort",
        type=int,
        default=DEFAULT_EFFORT,
        choices=range(len(EFFORTS)),
        metavar="0..9",
        help="how long networks are fine-tuned to each grid; changes are kept where they save bytes"
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
        frames = report
    else:
        many.begin(args)
        choice = choose(args, Path(many.target))
        work, frames = [(step, choice) for step in many.frames], OfFrames(report)
    if work:
        _compress(work, many, args, frames)
    if isinstance(frames, OfFrames) and many is not None:
        many.finish(frames, report)


def _compress(work: Sequence[tuple[Step, Choice]], many: Many | None, args: argparse.Namespace, report: Report) -> None:
    """Compresses each input with its settings."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_encoder
    from neuralvdb.api.processor import products

    if args.verbose:
        print_note(f"predictions are computed with {products()}")
    settings = work[0][1].settings
    needs = [likely_memory(step.source) for step, _ in work]
    at_once = jobs_at_once(args.jobs, needs, settings.threads, settings.device)
    if len(work) > 1:
        preload_encoder(settings)
    run_batch([_job(step, choice, args, at_once, many) for step, choice in work], at_once, report)


def _job(
    step: Step, choice: Choice, args: argparse.Namespace, at_once: int, many: Many | None
) -> FileJob[CompressReport]:
    from neuralvdb.api.compress import compressing
    from neuralvdb.api.jobs import ignore
    from neuralvdb.api.memory import most_memory

    settings = replace(choice.settings, threads=max(choice.settings.threads // at_once, 1))
    size, _ = file_state(step.source) or (0, 0)
    note = ignore if args.quiet else print_note
    target = str(step.target) if many is None else many.target
    if args.verbose and choice.project_file:
        print_note(f"{target}: settings of {choice.project_file}")
    sequence = None
    if many is not None:
        settings = replace(settings, force=True)
        sequence = many.so_far(step)

    def finish(report: CompressReport, seconds: float) -> Result:
        if many is not None:
            many.keep(step, report)
        report = replace(report, target=target)
        frame = None if many is None else text_of(many.frames[step])
        return Result(
            json={**report.as_dict(), "frame": frame, "config": choice.project_file, "seconds": seconds},
            text=_text(shown(report), settings, seconds) + _details(shown(report)) * args.verbose,
            sizes=Sizes(report.source_size, report.archive_size),
            skipped=report.skipped,
        )

    return FileJob(
        path=step.source,
        runner=IsolatedRunner(
            inputs=[step.source], memory=functools.partial(most_memory, step.source), device=settings.device
        ),
        begin=lambda progress: compressing(
            step.source, step.target, settings, progress=progress, note=note, sequence=sequence
        ),
        total=lambda: size * (1 + settings.verify),
        finish=finish,
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
