"""nvdb diff"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, table_text
from neuralvdb.settings import DiffSettings

HELP = "compare two files, each a .vdb or an archive"
_HEADER = ("grid", "topology", "active voxels", "max error", "RMSE", "PSNR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    common.add_grids(parser)
    common.add_priors(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Compares the two files."""
    return common.for_each([(common.Input(args.first), Path(args.second))], lambda a, b: _one(a, str(b), args))


def _one(first: str, second: str, args: argparse.Namespace) -> dict:
    from neuralvdb.api import diff
    from neuralvdb.api.source import is_archive

    memory = sum(
        8 * common.archive_memory(path) if is_archive(path) else common.MEMORY_PER_BYTE * common.file_size(path)
        for path in (first, second)
    )
    bar = Progress(0, Path(first).name, shown=not (args.quiet or args.json), unit="grid")
    settings = common.settings_of(args, DiffSettings)
    job = lambda: diff(first, second, settings, progress=bar).as_dict()  # noqa: E731
    return common.isolated(f"{first} or {second}", memory)(job)


def text(result: dict, _: argparse.Namespace) -> str:
    """A table of grids, then every change."""
    same = "the same, bit for bit" if result["same"] else "different"
    lines = [f"{result['first']} and {result['second']} are {same}"]
    if result["grids"]:
        lines.append(table_text(_HEADER, [_row(grid) for grid in result["grids"]]))
    lines += result["changes"]
    lines += [f"{grid['name']}: {change}" for grid in result["grids"] for change in grid["changes"]]
    return "\n".join(lines)


def different(result: dict) -> bool:
    """Whether the exit code should say that something differs."""
    return not result["same"]


def _row(grid: dict) -> list[str]:
    if grid["topology_equal"] is None:
        return [grid["name"], "-", "-", "-", "-", "same" if grid["same"] else "different"]
    voxels = grid["active_voxels"]
    counts = str(voxels[0]) if voxels[0] == voxels[1] else f"{voxels[0]} / {voxels[1]}"
    psnr = "same" if not grid["rmse"] else "-" if grid["psnr"] is None else f"{float(grid['psnr']):.2f} dB"
    return [
        grid["name"],
        "equal" if grid["topology_equal"] else "different",
        counts,
        f"{float(grid['max_error']):.6g}",
        f"{float(grid['rmse']):.6g}",
        psnr,
    ]
