"""nvdb info, of archives of many frames."""

from __future__ import annotations

import argparse
import functools
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob
from neuralvdb.cli.frames import Input
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Result
from neuralvdb.cli.output import shown, size_text, table_text
from neuralvdb.cli.targets import DIRECTORY_MEMORY
from neuralvdb.frame_number import number_of, ranges_text

if TYPE_CHECKING:
    from neuralvdb.api.frames import SequenceInfo


def sequence_job(item: Input, args: argparse.Namespace, *, single: bool) -> FileJob[SequenceInfo]:
    """single: all is said of the archive, and no row of a table."""
    from neuralvdb.api.frames import sequence_info
    from neuralvdb.api.jobs import Task

    def finish(report: SequenceInfo, _: float) -> Result:
        return Result(
            json=report.as_dict() if args.json or args.json_lines else {},
            text=_text(report, args.verbose) if single else "",
            table_row=None if single else _table_row(report),
        )

    return FileJob(
        path=item.path,
        runner=IsolatedRunner(inputs=[item.path], memory=lambda: DIRECTORY_MEMORY),
        begin=lambda _: nullcontext(Task(functools.partial(sequence_info, item.path))),
        total=lambda: 1,
        finish=finish,
    )


def _table_row(report: SequenceInfo) -> dict[str, str]:
    """The archive among other files; its grids are those of the first frame."""
    voxels = [grid.active_voxels for grid in report.first.grids]
    return {
        "file": report.path,
        "size": size_text(report.size),
        "from": size_text(report.source_size),
        "ratio": f"{report.source_size / report.size:.2f}x",
        "grids": str(len(report.first.grids)),
        "active voxels": str(sum(count for count in voxels if count is not None)),
        "lossy grids": str(sum(grid.promise is not None for grid in report.first.grids)),
    }


def _text(report: SequenceInfo, verbose: bool) -> str:
    """Which frames there are, and all of the first one; with `verbose` a table of frames."""
    from neuralvdb.cli.info import info_text

    ratio = f"{report.source_size / report.size:.2f}x"
    sizes = f"{size_text(report.size)}, from {size_text(report.source_size)} ({ratio})"
    numbers = [number_of(frame.number) for frame in report.frames]
    lines = [f"{shown(report.path)}: archive 4, {len(numbers)} frames, {sizes}", f"frames: {ranges_text(numbers)}"]
    if verbose:
        rows = [(f.number, shown(f.name), size_text(f.size), size_text(f.source_size)) for f in report.frames]
        lines.append(table_text(("frame", "file", "size", "from"), rows))
    first = replace(report.first, path=f"{report.path} frame {report.frames[0].number}")
    return "\n".join([*lines, info_text(first, verbose)])
