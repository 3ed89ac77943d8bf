"""nvdb info"""

from __future__ import annotations

import argparse
import functools
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.frames import Input, has_frames
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.loss import loss_text, promise_text
from neuralvdb.cli.options import add_common, add_inputs, add_jobs, wanted
from neuralvdb.cli.output import shown, size_text, table_text, voxel_size_text
from neuralvdb.cli.sequence_info import sequence_job
from neuralvdb.cli.targets import expand_all, expand_frames
from neuralvdb.platform import available_cores
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.info import FileInfo, GridInfo

HELP = "show grids, sizes and metadata"
_HEADER = (
    "grid",
    "type",
    "class",
    "voxel size",
    "active voxels",
    "leaves",
    "tiles",
    "topology",
    "values",
    "total",
    "share",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_inputs(parser)
    add_jobs(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Looks into every input."""
    from neuralvdb.api.memory import likely_memory

    expand = expand_all if args.frames is None else expand_frames
    inputs = expand(args.inputs, wanted(args, VDB_SUFFIX, ARCHIVE_SUFFIX), report)
    needs = [likely_memory(item.path, item.size) for item in inputs]
    at_once = jobs_at_once(args.jobs, needs, args.threads or available_cores())
    single = len(inputs) == 1 or args.verbose
    jobs = [
        (_job if item.within or not has_frames(item.path) else sequence_job)(item, args, single=single)
        for item in inputs
    ]
    run_batch(jobs, at_once, report)


def _job(item: Input, args: argparse.Namespace, *, single: bool) -> FileJob[FileInfo]:
    """single: all is said of the input, and no row of a table."""
    from neuralvdb.api.info import info
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.memory import most_memory

    path = item.path

    def finish(report: FileInfo, _: float) -> Result:
        report = replace(report, path=item.words)
        return Result(
            json={**report.as_dict(), "path": path, **item.json} if args.json or args.json_lines else {},
            text=info_text(report, args.verbose) if single else "",
            table_row=None if single else _table_row(report),
        )

    return FileJob(
        path=path,
        runner=IsolatedRunner(inputs=[path], memory=functools.partial(most_memory, path)),
        begin=lambda _: nullcontext(Task(functools.partial(info, path, item.selects))),
        total=lambda: 1,
        finish=finish,
    )


def _table_row(report: FileInfo) -> dict[str, str]:
    """The file among others."""
    source, voxels = report.source_size, [grid.active_voxels for grid in report.grids]
    return {
        "file": report.path,
        "size": size_text(report.size),
        "from": "-" if source is None else size_text(source),
        "ratio": "-" if source is None else f"{source / report.size:.2f}x",
        "grids": str(len(report.grids)),
        "active voxels": str(sum(count for count in voxels if count is not None)),
        "lossy grids": "-" if source is None else str(sum(grid.promise is not None for grid in report.grids)),
    }


def info_text(report: FileInfo, verbose: bool) -> str:
    """All that is said of a file."""
    return _text(_shown(report, verbose), verbose)


def _shown(report: FileInfo, verbose: bool) -> FileInfo:
    """The report as a terminal may get it, without metadata, which can be large, where it is not asked for."""
    grids = [
        replace(grid, metadata=grid.metadata if verbose else {}, transform=" ".join(grid.transform.split()))
        for grid in report.grids
    ]
    return shown(replace(report, metadata=report.metadata if verbose else {}, grids=grids))


def _text(report: FileInfo, verbose: bool) -> str:
    """A table of grids, the largest share of the disk visible at a glance; metadata too with `verbose`."""
    head = f"{report.path}: {report.version}, {size_text(report.size)}, {len(report.grids)} grids"
    if report.source_size is not None:
        head += f", from {size_text(report.source_size)} ({report.source_size / report.size:.2f}x)"
    lines = [head]
    if report.grids:
        lines.append(table_text(_HEADER, [_cells(grid, report.size) for grid in report.grids]))
    lines.append(f"outside grids: {size_text(report.overhead)}")
    if report.kind == "archive":
        promises = {grid.name: grid.promise for grid in report.grids if grid.promise is not None}
        pruned = {grid.name: grid.pruned for grid in report.grids if grid.pruned is not None}
        lines.append(f"LOSSY: {loss_text(promises, pruned)}" if promises else "lossless")
        lines += [promise_text(promises, pruned)] * (verbose and bool(promises))
        coded = [f"{grid.name} by {_references(grid)}" for grid in report.grids if grid.references]
        lines += [f"coded by others: {', '.join(coded)}"] * bool(coded)
    if report.left_out:
        lines.append(f"left out: {', '.join(report.left_out)}")
    if report.missing_priors:
        lines.append(f"needs the priors {report.missing_priors}; decompress it with --priors FILE")
    if verbose:
        lines += _details("file", report.metadata)
        for grid in report.grids:
            lines += _details(grid.name, grid.metadata)
            lines.append(f"{grid.name}: {grid.transform}")
    return "\n".join(lines)


def _references(grid: GridInfo) -> str:
    """What its values are coded by."""
    return " and ".join(" along ".join(moved) for moved in grid.references)


def _cells(grid: GridInfo, size: int) -> list[str]:
    """A grid's cells below _HEADER; size: of the file in bytes."""
    kind = grid.type + (" half" if grid.half else "")
    if grid.instance_of:
        kind += f" = {grid.instance_of}"
    counts = ["-" if count is None else str(count) for count in (grid.active_voxels, grid.leaves, grid.active_tiles)]
    sizes = [size_text(grid.bytes[name]) if name in grid.bytes else "-" for name in ("topology", "values")]
    return [
        grid.name,
        kind,
        grid.grid_class,
        voxel_size_text(grid.voxel_size),
        *counts,
        *sizes,
        size_text(grid.total),
        f"{grid.total / size:.1%}",
    ]


def _details(name: str, metadata: dict[str, tuple[str, str]]) -> list[str]:
    return [f"{name}: {key} = {value} ({kind})" for key, (kind, value) in metadata.items()]
