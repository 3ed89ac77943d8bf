"""nvdb decompress"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, print_note, size_text, voxel_size_text
from neuralvdb.settings import MAX_LOD, Box, DecompressSettings

HELP = "make ordinary .vdb files again"
_SUFFIX = ".vdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_output(parser, _SUFFIX)
    parser.add_argument(
        "--compression", choices=("blosc", "zip", "none"), default="blosc", help="inside the .vdb (default: blosc)"
    )
    parser.add_argument(
        "--bbox",
        dest="box",
        type=_box,
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="only what lies in this box of index space, both corners included; the rest is inactive background",
    )
    parser.add_argument(
        "--lod",
        type=int,
        choices=range(1, MAX_LOD + 1),
        default=0,
        help="a coarser grid, voxels 2, 4 or 8 times as long (for previews); with --bbox, which keeps to the full "
        "grid's voxels, every coarse voxel that the box touches",
    )
    parser.add_argument(
        "--topology-only", action="store_true", help="mask grids of what is active; values are not decoded"
    )
    common.add_device(parser)
    common.add_grids(parser)
    common.add_priors(parser)
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Decompresses every input."""
    settings = common.settings_of(args, DecompressSettings)
    return common.for_each(common.plan(args, _SUFFIX), lambda source, target: _one(source, target, settings, args))


def _one(source: str, target: Path, settings: DecompressSettings, args: argparse.Namespace) -> dict:
    from neuralvdb.api import decompress

    began = time.perf_counter()
    memory = common.archive_memory(source, args.grids)
    bar = Progress(memory, Path(source).name, shown=not (args.quiet or args.json))
    note = (lambda _: None) if args.quiet else print_note
    run = common.isolated(source, 4 * memory + common.device_memory(args.device))
    report = decompress(source, target, settings, progress=bar, note=note, run=run)
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line, and where a part was asked for one of each grid."""
    sizes = f"{size_text(result['archive_size'])} -> {size_text(result['vdb_size'])}"
    names = f"{result['source']} -> {result['target']}"
    lines = [f"{names}  {sizes}  {len(result['grids'])} grids  {result['seconds']:.2f} s on {result['device']}"]
    for name, part in result["parts"].items():
        active = "" if part["active_voxels"] is None else f"{part['active_voxels']} active voxels, "
        lines.append(f"{name}: {active}voxel size {voxel_size_text(part['voxel_size'])}")
    return "\n".join(lines)


def _box(text: str) -> Box:
    try:
        numbers = [int(number) for number in text.split(",")]
        if len(numbers) != 6:
            raise ValueError(f"{len(numbers)} numbers")
        return Box(tuple(numbers[:3]), tuple(numbers[3:]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no box such as -10,0,0,53,63,63: {error}") from error
