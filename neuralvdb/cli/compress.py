"""nvdb compress"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, print_note, promise_text, size_text
from neuralvdb.settings import ARCHIVE_SUFFIX, Bound, presets

HELP = "make .vdb files small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_output(parser, ARCHIVE_SUFFIX)
    error = parser.add_mutually_exclusive_group()
    error.add_argument("--lossless", action="store_true", help="keep every bit (the default)")
    error.add_argument(
        "--quality", choices=tuple(presets()), default="", help="what a picture needs (configs/presets.toml)"
    )
    error.add_argument(
        "--max-error",
        type=_bounds(relative=False),
        metavar="A",
        help="no active value is off by more than this; level sets: voxels; per grid: density=0.002,vel=1%%",
    )
    error.add_argument(
        "--rel-error",
        type=_bounds(relative=True),
        metavar="R",
        help="the same as a share of the active range, 0.01 or 1%%",
    )
    error.add_argument(
        "--tolerance",
        type=_tolerance,
        metavar="A,R",
        help="a value v may be off by A or by R |v|, whichever is more: fine in thin smoke, coarse in its core",
    )
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="do not decode what was written")
    common.add_grids(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Compresses every input."""
    return common.for_each(common.plan(args, ARCHIVE_SUFFIX), lambda source, target: _one(source, target, args))


def _one(source: str, target: Path, args: argparse.Namespace) -> dict:
    from neuralvdb.api import compress

    began = time.perf_counter()
    total = common.file_size(source) * (1 + args.verify)
    bar = Progress(total, Path(source).name, shown=not (args.quiet or args.json))
    settings = replace(common.settings_of(args), bounds=args.max_error or args.rel_error or args.tolerance or ())
    report = compress(source, target, settings, progress=bar, run=common.isolated(source))
    if report.left_out and not args.quiet:
        print_note(f"{source}: left out as asked: {', '.join(report.left_out)}")
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line."""
    sizes = f"{size_text(result['source_size'])} -> {size_text(result['archive_size'])}  {result['ratio']:.2f}x"
    how = promise_text(result["promises"]) + (", verified" if result["verified"] else ", not verified")
    names = f"{result['source']} -> {result['target']}"
    return f"{names}  {sizes}  {len(result['grids'])} grids  {how}  {result['seconds']:.2f} s"


def _bounds(*, relative: bool) -> Callable[[str], tuple[Bound, ...]]:
    """A parser of `0.01`, `1%` or `density=0.002,vel=1%`; percent are always relative."""

    def parse(text: str) -> tuple[Bound, ...]:
        return tuple(_bound(part, relative) for part in text.split(","))

    return parse


def _bound(text: str, relative: bool) -> Bound:
    grid, _, number = text.rpartition("=")
    percent = number.endswith("%")
    try:
        value = float(number.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no error bound such as 0.01, 1% or density=0.002")
    return Bound(value, relative or percent, grid)


def _tolerance(text: str) -> tuple[Bound, ...]:
    """A parser of `0.001,0.05` or `0.1%,5%`; a percentage in the first place is a share of the active range."""
    first, _, second = text.partition(",")
    absolute, ratio = _bound(first, relative=False), _bound(second or "-", relative=True)
    if ratio.value >= 1 or ratio.grid:
        raise argparse.ArgumentTypeError(f"'{text}' is no tolerance such as 0.001,5%")
    return (replace(absolute, ratio=ratio.value),)
