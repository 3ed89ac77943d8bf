"""nvdb compress"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, print_note, promise_text, size_text, topology_text
from neuralvdb.errors import UsageError
from neuralvdb.settings import ARCHIVE_SUFFIX, DEFAULT_EFFORT, EFFORTS, Bound, CompressSettings, presets

HELP = "make .vdb files small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_output(parser, ARCHIVE_SUFFIX)
    parser.add_argument("--lossless", action="store_true", help="keep every bit (the default)")
    parser.add_argument("--quality", metavar="NAME", default="", help="what a picture needs: " + ", ".join(presets()))
    parser.add_argument("--presets", dest="presets_file", metavar="FILE", default="", help=_PRESETS)
    for option, kind, metavar, text in _ERRORS:
        parser.add_argument(option, dest="bounds", action="extend", default=[], type=kind, metavar=metavar, help=text)
    parser.add_argument(
        "--topology",
        choices=("exact", "pruned"),
        default="exact",
        help="pruned: active voxels within the maximum error of the background may go (default: exact)",
    )
    parser.add_argument(
        "--effort",
        type=int,
        choices=range(len(EFFORTS)),
        metavar="0..9",
        help="how long networks are fitted to each grid, kept where that saves bytes"
        f" (default: {DEFAULT_EFFORT}, with --fast 0)",
    )
    parser.add_argument(
        "--fast", action="store_true", help="networks without hidden layers: less time both ways, some bytes more"
    )
    common.add_device(parser, "where lossy values are coded; cuda: all GPUs; auto: GPUs where there are some (default)")
    common.add_priors(parser)
    parser.add_argument("--embed-priors", action="store_true", help="archives carry the networks they need (~80 kB)")
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="do not decode what was written")
    common.add_grids(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Compresses every input."""
    if args.lossless and (args.quality or args.bounds):
        raise UsageError("--lossless allows no error; leave it out, or the options that allow one")
    settings = common.settings_of(args, CompressSettings)
    return common.for_each(
        common.plan(args, ARCHIVE_SUFFIX), lambda source, target: _one(source, target, settings, args)
    )


def _one(source: str, target: Path, settings: CompressSettings, args: argparse.Namespace) -> dict:
    from neuralvdb.api import compress

    began = time.perf_counter()
    total = common.file_size(source) * (1 + args.verify)
    bar = Progress(total, Path(source).name, shown=not (args.quiet or args.json))
    memory = common.MEMORY_PER_BYTE * common.file_size(source) + common.device_memory(args.device)
    report = compress(source, target, settings, progress=bar, run=common.isolated(source, memory))
    if report.left_out and not args.quiet:
        print_note(f"{source}: left out as asked: {', '.join(report.left_out)}")
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line."""
    sizes = f"{size_text(result['source_size'])} -> {size_text(result['archive_size'])}  {result['ratio']:.2f}x"
    how = promise_text(result["promises"]) + (f"; {topology_text(result['pruned'])}" if result["promises"] else "")
    how += ", verified" if result["verified"] else ", not verified"
    names = f"{result['source']} -> {result['target']}"
    return f"{names}  {sizes}  {len(result['grids'])} grids  {how}  {result['seconds']:.2f} s on {result['device']}"


def _bounds(*, relative: bool = False, decibels: bool = False) -> Callable[[str], tuple[Bound, ...]]:
    """A parser of `0.01`, `1%` or `density=0.002,vel=1%`; percent are always relative."""

    def parse(text: str) -> tuple[Bound, ...]:
        return tuple(_bound(part, relative, decibels) for part in text.split(","))

    return parse


def _bound(text: str, relative: bool, decibels: bool = False) -> Bound:
    grid, _, number = text.rpartition("=")
    percent = number.endswith("%") and not decibels
    try:
        value = float(number.removesuffix("%") if percent else number) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < (300 if decibels else float("inf")):
        example = "PSNR in dB such as 45 or density=45" if decibels else "error bound such as 0.01, 1% or density=0.002"
        raise argparse.ArgumentTypeError(f"'{text}' is no {example}")
    return Bound(value=value, relative=relative or percent, grid=grid, decibels=decibels)


def _tolerance(text: str) -> tuple[Bound, ...]:
    """A parser of `0.001,0.05` or `density=0.1%,5%`; a percentage in the first place is a share of the active range."""
    first, _, second = text.partition(",")
    absolute, ratio = _bound(first, relative=False), _bound(second or "-", relative=True)
    if ratio.value >= 1 or ratio.grid:
        raise argparse.ArgumentTypeError(f"'{text}' is no tolerance such as 0.001,5%")
    return (replace(absolute, ratio=ratio.value),)


_PRESETS = "a file of your own presets, like configs/presets.toml"
_ERRORS = (
    (
        "--max-error",
        _bounds(),
        "A",
        "no active value is off by more than this; level sets: voxels; per grid: density=0.002,vel=1%%",
    ),
    ("--rel-error", _bounds(relative=True), "R", "the same as a share of the active range, 0.01 or 1%%"),
    (
        "--tolerance",
        _tolerance,
        "A,R",
        "a value v may be off by A or by R |v|, whichever is more: fine in thin smoke, coarse in its core",
    ),
    ("--psnr", _bounds(decibels=True), "DB", "the active values keep this PSNR, peak = active range"),
)
