"""nvdb decompress"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, size_text

HELP = "make ordinary .vdb files again"
_SUFFIX = ".vdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_output(parser, _SUFFIX)
    parser.add_argument(
        "--compression", choices=("blosc", "zip", "none"), default="blosc", help="inside the .vdb (default: blosc)"
    )
    common.add_grids(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Decompresses every input."""
    return common.for_each(common.plan(args, _SUFFIX), lambda source, target: _one(source, target, args))


def _one(source: str, target: Path, args: argparse.Namespace) -> dict:
    from neuralvdb.api import decompress

    began = time.perf_counter()
    memory = common.archive_memory(source)
    bar = Progress(memory, Path(source).name, shown=not (args.quiet or args.json))
    report = decompress(source, target, common.settings_of(args), progress=bar, run=common.isolated(source, 4 * memory))
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line."""
    sizes = f"{size_text(result['archive_size'])} -> {size_text(result['vdb_size'])}"
    return f"{result['source']} -> {result['target']}  {sizes}  {len(result['grids'])} grids  {result['seconds']:.2f} s"
