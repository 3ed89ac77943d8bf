"""nvdb mount"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb import platform
from neuralvdb.cli import isolate
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result, internal_error
from neuralvdb.cli.options import (
    add_cache_folder,
    add_cache_size,
    add_common,
    add_device,
    add_grids,
    add_lod,
    add_priors,
    settings_of,
)
from neuralvdb.cli.output import shown
from neuralvdb.errors import NeuralVdbError, OutputError, UsageError
from neuralvdb.new_folder import keep_folders
from neuralvdb.settings import SIZES, MountSettings

if TYPE_CHECKING:
    from neuralvdb.mount.decoder import Process
    from neuralvdb.mount.serve import Mount

HELP = "show archives as a folder of ordinary .vdb files, which are decoded as they are opened"
_LOG_FILE = "mount.log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("source", metavar="SOURCE", help="an archive, or a folder of archives and other files")
    parser.add_argument("target", metavar="DIR", help="an empty folder; it is made where it is not there")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--foreground", action="store_true", help="serve in this process, until a signal ends it")
    way.add_argument(
        "--daemon",
        dest="foreground",
        action="store_false",
        help="serve in a process of its own, and end when the files are there (default)",
    )
    parser.add_argument(
        "--log",
        metavar="FILE",
        help=f"where errors are written, one line each (default: stderr; of a daemon {_LOG_FILE} in the cache)",
    )
    parser.add_argument("--allow-other", action="store_true", help="other users may read the files, too")
    parser.add_argument(
        "--sizes",
        choices=SIZES,
        default=SIZES[0],
        help="what ls tells of a frame that was never decoded; exact: its size, for which it is decoded (default); "
        "source: that of the file that it was made of",
    )
    add_lod(parser, "show coarser grids: voxels 2, 4 or 8 times as long")
    add_cache_folder(parser)
    add_cache_size(parser)
    add_device(parser)
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Mounts the source."""
    from neuralvdb.mount.points import check_target
    from neuralvdb.mount.serve import load_fuse

    load_fuse()
    mount = _mount(args)
    _check_apart(mount)
    check_target(mount.target)
    report.begin(1)
    begin = functools.partial(_serve, mount, args.device)
    if args.foreground:

        def ready() -> None:
            keep_folders()
            report.result(_result(mount, os.getpid()))
            sys.stdout.flush()
            platform.notify_service("READY=1")

        begin(ready)
    else:
        report.result(_result(mount, _in_daemon(begin)))


def _mount(args: argparse.Namespace) -> Mount:
    """What the options ask for. Raises InputError, UsageError."""
    from neuralvdb.api.readable import check_readable
    from neuralvdb.mount.cache import default_folder
    from neuralvdb.mount.serve import Mount

    if not os.path.isdir(args.source):
        check_readable(args.source)
    settings = settings_of(args, MountSettings)
    settings = replace(
        settings,
        cache=os.path.abspath(settings.cache or default_folder()),
        priors=os.path.abspath(settings.priors) if settings.priors else "",
    )
    log = args.log
    if log is None and not args.foreground:
        log = os.path.join(settings.cache, _LOG_FILE)
    return Mount(
        source=os.path.abspath(args.source),
        target=os.path.abspath(args.target),
        settings=settings,
        log=None if log is None else os.path.abspath(log),
        other_users=args.allow_other,
    )


def _check_apart(mount: Mount) -> None:
    """Raises UsageError where a folder would hold the one from which it is served."""
    target, source = os.path.realpath(mount.target), os.path.realpath(mount.source)
    for path in (source, os.path.realpath(mount.settings.cache)):
        if _is_below(path, target):
            raise UsageError(f"{mount.target}: holds {path}, which a mount would hide; give another folder")
    if os.path.isdir(source) and _is_below(target, source):
        raise UsageError(f"{mount.target}: lies in {mount.source}, and would show itself; give another folder")


def _is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or leads to something in it."""
    return os.path.commonpath([path, folder]) == folder


def _serve(mount: Mount, device: str, ready: Callable[[], None]) -> None:
    """Serves a mount until it ends."""
    from neuralvdb.mount.serve import serve

    mask = platform.block_interrupts()
    try:
        serve(mount, functools.partial(_start, device), ready)
    finally:
        platform.restore_interrupts(mask)


def _start(device: str, job: Callable[[], None], archive: str, folder: str, withheld: Sequence[int]) -> Process:
    """A child process that works on an archive and can write to a folder only: a StartProcess."""
    added = set(withheld) - isolate.withheld
    isolate.withheld.update(added)
    try:
        runner = IsolatedRunner(inputs=[archive], memory=lambda: 0, device=device)
        return runner.start(job, writes=[folder])
    finally:
        isolate.withheld.difference_update(added)


def _in_daemon(begin: Callable[[Callable[[], None]], None]) -> int:
    """Begins in a process that goes on when this one has ended, and gives its number once all is ready. Raises what
    begin() raises before that."""
    receive, send = os.pipe()
    child = platform.fork_daemon()
    if child == 0:
        os.close(receive)
        _be_daemon(begin, send)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = stream.readline()
        error = stream.read() if answer == b"failed\n" else b""
    if answer == b"ready\n":
        return child
    platform.wait_child(child)
    if not error:
        raise OutputError("the process that should serve the mount has ended at once; try --foreground")
    raise pickle.loads(error)


def _be_daemon(begin: Callable[[Callable[[], None]], None], send: int) -> None:
    """Begins, tells through `send` how that went, and ends the process."""
    status = 1
    try:

        def ready() -> None:
            os.write(send, b"ready\n")
            os.close(send)

        begin(ready)
        status = 0
    except Exception as error:
        expected = error if isinstance(error, NeuralVdbError) else internal_error(error)
        with contextlib.suppress(OSError):
            os.write(send, b"failed\n" + pickle.dumps(expected))
    finally:
        os._exit(status)


def _result(mount: Mount, process: int) -> Result:
    return Result(
        json={
            "source": mount.source,
            "target": mount.target,
            "cache": mount.settings.cache,
            "log": mount.log,
            "process": process,
        },
        text=shown(f"{mount.source} is mounted on {mount.target}; nvdb unmount ends that"),
    )
