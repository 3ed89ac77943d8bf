"""nvdb unmount"""

from __future__ import annotations

import argparse
import functools
import os

from neuralvdb.cli.jobs import Job, Report, Result, run_all
from neuralvdb.cli.options import add_cache_folder, add_common
from neuralvdb.cli.output import shown

HELP = "end what nvdb mount began, also where its process was killed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("targets", nargs="+", metavar="DIR", help="folders that something is mounted on")
    parser.add_argument("--force", action="store_true", help="also where programs have files of it open")
    add_cache_folder(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Unmounts every folder."""
    run_all([Job(target, functools.partial(_unmount, target, args)) for target in args.targets], report)


def _unmount(target: str, args: argparse.Namespace) -> Result:
    """Unmounts a folder, and removes what processes left in the cache that were killed."""
    from neuralvdb.mount.cache import default_folder, remove_abandoned
    from neuralvdb.mount.points import unmount

    source = unmount(target, force=args.force)
    remove_abandoned(args.cache or default_folder())
    path = os.path.abspath(target)
    return Result(json={"source": source, "target": path}, text=shown(f"{source} is no longer mounted on {path}"))
