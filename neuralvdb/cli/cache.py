"""nvdb cache"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.decompress import decompress_job
from neuralvdb.cli.frames import Input
from neuralvdb.cli.jobs import Failure, Report, Result
from neuralvdb.cli.options import (
    add_cache_size,
    add_common,
    add_device,
    add_frames,
    add_grids,
    add_jobs,
    add_lod,
    add_priors,
    settings_of,
    wanted,
)
from neuralvdb.cli.targets import Step, expand_frames, in_groups, plan
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX, DecompressSettings, MountSettings

if TYPE_CHECKING:
    from neuralvdb.api.decompress import DecompressReport
    from neuralvdb.api.jobs import Progress, Task
    from neuralvdb.mount.folder import FrameFolder

HELP = "fill a folder with the .vdb files of archives, and hold no more bytes of them than a limit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("source", metavar="SOURCE", help="an archive, a folder of archives, or a pattern")
    parser.add_argument("target", metavar="DIR", help="the folder to fill; it is made where it is not there")
    add_frames(parser)
    add_cache_size(parser)
    parser.add_argument("--force", action="store_true", help="overwrite files that something else put there")
    add_jobs(parser)
    add_lod(parser, "coarser grids: voxels 2, 4 or 8 times as long")
    add_device(parser)
    add_grids(parser)
    add_priors(parser)
    add_common(parser)
    parser.set_defaults(cache=None, sizes=None)


def run(args: argparse.Namespace, report: Report) -> None:
    """Decompresses what is not in the folder yet."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder
    from neuralvdb.mount.folder import FrameFolder

    settings = settings_of(args, MountSettings)
    steps = _steps(args, report)
    groups = in_groups(steps, lambda step: step.item)
    needs = [max(likely_memory(step.source, step.item.size) for step in group) for group in groups]
    at_once = jobs_at_once(args.jobs, needs, settings.threads, settings.device)
    each = DecompressSettings(
        threads=max(settings.threads // at_once, 1),
        priors=settings.priors,
        grids=settings.grids,
        lod=settings.lod,
        device=settings.device,
        force=args.force,
        skip_existing=True,
    )
    if not steps:  # the report knows why
        run_batch([], 1, report)
        return
    names = {os.path.relpath(step.target, args.target) for step in steps}
    folder = FrameFolder(args.target, settings.cache_size, names)
    if len(steps) > 1:
        preload_decoder()
    run_batch([_job(group, each, folder, args) for group in groups], at_once, report)


def _steps(args: argparse.Namespace, report: Report) -> Sequence[Step]:
    """What to decompress, and where to: frames of an archive of many that lies in a folder go to one of its name, as a
    mount shows them."""
    items = expand_frames([args.source], wanted(args, ARCHIVE_SUFFIX), report)
    apart = os.path.isdir(args.source)
    folders: dict[str, list[Input]] = {}
    for item in items:
        folder = Path(args.target) / (Path(item.path).stem if apart and item.within else "")
        folders.setdefault(os.fspath(folder), []).append(item)
    return [step for folder, group in folders.items() for step in plan(group, f"{folder}/", VDB_SUFFIX)]


def _job(
    steps: Sequence[Step], settings: DecompressSettings, folder: FrameFolder, args: argparse.Namespace
) -> FileJob[list[DecompressReport | NeuralVdbError]]:
    names = [os.path.relpath(step.target, args.target) for step in steps]
    steps = [replace(step, force=folder.has_put(name)) for step, name in zip(steps, names, strict=True)]
    job = decompress_job(steps, settings, quiet=args.quiet)

    @contextlib.contextmanager
    def begin(progress: Progress) -> Iterator[Task[list[DecompressReport | NeuralVdbError]]]:
        folder.check_room()
        with job.begin(progress) as task:
            yield task

    def finish(reports: list[DecompressReport | NeuralVdbError], seconds: float) -> Result | Sequence[Result | Failure]:
        outcomes = [_counted(report, name, folder) for report, name in zip(reports, names, strict=True)]
        return job.finish(outcomes, seconds)

    return replace(job, begin=begin, finish=finish)


def _counted(
    report: DecompressReport | NeuralVdbError, name: str, folder: FrameFolder
) -> DecompressReport | NeuralVdbError:
    """What became of a frame, for which there may be no room."""
    try:
        if not isinstance(report, NeuralVdbError) and (not report.skipped or folder.has_put(name)):
            folder.take(name)
    except NeuralVdbError as error:
        return error
    return report
