"""nvdb verify"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress
from neuralvdb.settings import VerifySettings

HELP = "check an archive, alone or against the file it was made from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("archive", metavar="ARCHIVE")
    parser.add_argument("original", metavar="VDB", nargs="?", help="the .vdb file it was made from")
    common.add_priors(parser)
    common.add_device(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Verifies the archive."""
    return common.for_each([(common.Input(args.archive), Path())], lambda path, _: _one(path, args))


def _one(path: str, args: argparse.Namespace) -> dict:
    from neuralvdb.api import verify

    memory = 4 * common.archive_memory(path) + common.device_memory(args.device)
    if args.original:
        memory += common.MEMORY_PER_BYTE * common.file_size(args.original)
    bar = Progress(0, Path(path).name, shown=not (args.quiet or args.json))
    settings = common.settings_of(args, VerifySettings)
    job = lambda: verify(path, args.original, settings, progress=bar).as_dict()  # noqa: E731
    return common.isolated(args.original or path, memory)(job)


def text(result: dict, _: argparse.Namespace) -> str:
    """One line, or one per difference."""
    if result["differences"]:
        return "\n".join(f"{result['path']}: {line}" for line in result["differences"])
    against = f", the same as {result['original']}" if result["original"] else ""
    return f"{result['path']}: all {result['grids']} grids decode on {result['device']} to what was stored{against}"


def different(result: dict) -> bool:
    """Whether the exit code should say that something differs."""
    return bool(result["differences"])
