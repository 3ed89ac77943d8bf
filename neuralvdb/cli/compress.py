"""nvdb compress"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, print_note, size_text
from neuralvdb.settings import ARCHIVE_SUFFIX

HELP = "make .vdb files small"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_output(parser, ARCHIVE_SUFFIX)
    parser.add_argument("--lossless", action="store_true", help="keep every bit (so far the only way, and the default)")
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
    report = compress(source, target, common.settings_of(args), progress=bar, run=common.isolated(source))
    if report.left_out and not args.quiet:
        print_note(f"{source}: left out as asked: {', '.join(report.left_out)}")
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line."""
    sizes = f"{size_text(result['source_size'])} -> {size_text(result['archive_size'])}  {result['ratio']:.2f}x"
    how = "lossless, verified" if result["verified"] else "lossless, not verified"
    names = f"{result['source']} -> {result['target']}"
    return f"{names}  {sizes}  {len(result['grids'])} grids  {how}  {result['seconds']:.2f} s"
