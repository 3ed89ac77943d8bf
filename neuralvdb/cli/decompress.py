"""nvdb decompress"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb import platform
from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result, Sizes
from neuralvdb.cli.options import (
    add_common,
    add_device,
    add_grids,
    add_jobs,
    add_lod,
    add_output,
    add_priors,
    add_skip_existing,
    settings_of,
    wanted,
)
from neuralvdb.cli.output import print_note, shown, size_text, voxel_size_text
from neuralvdb.cli.targets import Step, expand_frames, in_groups, plan
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import ARCHIVE_SUFFIX, COMPRESSIONS, VDB_SUFFIX, Box, DecompressSettings

if TYPE_CHECKING:
    from neuralvdb.api.decompress import DecompressReport

HELP = "turn archives back into .vdb files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_output(parser, VDB_SUFFIX)
    add_skip_existing(parser, "leave an output that is newer than the archive and has the uuid that would be written")
    add_jobs(parser)
    parser.add_argument(
        "--compression",
        choices=COMPRESSIONS,
        default=COMPRESSIONS[0],
        help="compression inside the .vdb (default: blosc)",
    )
    parser.add_argument(
        "--bbox",
        dest="box",
        type=_box,
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="only what lies in this box of index space, both corners included; the rest is inactive background",
    )
    add_lod(
        parser,
        "a coarser grid for previews: voxels 2, 4 or 8 times as long; with --bbox, whose corners are voxels of the "
        "full grid, every coarse voxel that the box touches",
    )
    parser.add_argument(
        "--topology-only", action="store_true", help="write masks of the active voxels; values are not decoded"
    )
    add_device(parser)
    add_grids(parser)
    add_priors(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Decompresses every input."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder

    settings = settings_of(args, DecompressSettings)
    steps = plan(expand_frames(args.inputs, wanted(args, ARCHIVE_SUFFIX), report), args.output, VDB_SUFFIX)
    runs = in_groups(steps, lambda step: step.item)
    needs = [max(likely_memory(step.source, step.item.size) for step in run) for run in runs]
    at_once = jobs_at_once(args.jobs, needs, settings.threads, settings.device)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    if len(steps) > 1:
        preload_decoder()
    run_batch([decompress_job(run, settings, quiet=args.quiet) for run in runs], at_once, report)


def decompress_job(
    steps: Sequence[Step], settings: DecompressSettings, *, quiet: bool
) -> FileJob[list[DecompressReport | NeuralVdbError]]:
    """The work on frames of one archive. quiet: nobody is told what is left out."""
    from neuralvdb.api.decompress import decompressing
    from neuralvdb.api.jobs import ignore
    from neuralvdb.api.memory import memory_of_each
    from neuralvdb.api.outputs import FrameTarget
    from neuralvdb.api.preload import load_decoder

    source = steps[0].source
    frames = [FrameTarget(step.item.selects, step.target, step.force) for step in steps]

    needed = functools.cache(
        functools.partial(memory_of_each, source, settings.grids, [frame.number for frame in frames])
    )

    def memory() -> int:
        # What a tile of a coarser grid takes depends on the tiles beside it, and may be many times what it took.
        return platform.physical_memory() if settings.lod else 4 * max(needed())

    def finish(reports: list[DecompressReport | NeuralVdbError], seconds: float) -> list[Result | Failure]:
        return [_outcome(step, report, seconds / len(steps)) for step, report in zip(steps, reports, strict=True)]

    return FileJob(
        path=source,
        runner=IsolatedRunner(inputs=[source], memory=memory, device=settings.device, load=load_decoder),
        begin=lambda progress: decompressing(
            source, frames, settings, progress=progress, note=ignore if quiet else print_note
        ),
        total=lambda: sum(needed()),
        finish=finish,
        files=len(steps),
    )


def _outcome(step: Step, report: DecompressReport | NeuralVdbError, seconds: float) -> Result | Failure:
    """What became of a frame."""
    if isinstance(report, NeuralVdbError):
        return Failure(step.source, report)
    return Result(
        json={**report.as_dict(), **step.item.json, "seconds": round(seconds, 3)},
        text=_text(shown(replace(report, source=step.item.words)), seconds),
        sizes=Sizes(report.archive_size, report.vdb_size),
        skipped=report.skipped,
    )


def _text(report: DecompressReport, seconds: float) -> str:
    """The summary line, and one of each grid where a box or a level of detail was asked for."""
    sizes = f"{size_text(report.archive_size)} -> {size_text(report.vdb_size)}"
    names = f"{report.source} -> {report.target}"
    if report.skipped:
        return f"{names}  {sizes}  skipped: it is there and newer"
    lines = [f"{names}  {sizes}  {len(report.grids)} grids  {seconds:.2f} s on {report.device}"]
    for name, region in report.parts.items():
        active = "" if region.active_voxels is None else f"{region.active_voxels} active voxels, "
        lines.append(f"{name}: {active}voxel size {voxel_size_text(region.voxel_size)}")
    return "\n".join(lines)


def _box(text: str) -> Box:
    try:
        numbers = [int(number) for number in text.split(",")]
        if len(numbers) != 6:
            raise ValueError(f"{len(numbers)} numbers")
        x0, y0, z0, x1, y1, z1 = numbers
        return Box((x0, y0, z0), (x1, y1, z1))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no box such as -10,0,0,53,63,63: {error}") from error
