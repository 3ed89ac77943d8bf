"""nvdb info"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import promise_text, size_text, table_text, topology_text, voxel_size_text

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
    parser.add_argument("inputs", nargs="+", metavar="FILE", help=".vdb files or archives")
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Looks into every input."""
    pairs = [(item, Path()) for name in args.inputs for item in common.expand(name, None)]
    return common.for_each(pairs, lambda path, _: _one(path))


def _one(path: str) -> dict:
    from neuralvdb.api import info

    return common.isolated(path)(_info_dict, info, path)


def _info_dict(info, path: str) -> dict:
    return info(path).as_dict()


def text(result: dict, args: argparse.Namespace) -> str:
    """A table of grids, the largest share of the disk visible at a glance; metadata too with --verbose."""
    head = f"{result['path']}: {result['version']}, {size_text(result['size'])}, {len(result['grids'])} grids"
    if result["source_size"] is not None:
        head += f", from {size_text(result['source_size'])} ({result['source_size'] / result['size']:.2f}x)"
    lines = [head]
    if result["grids"]:
        lines.append(table_text(_HEADER, [_row(grid, result["size"]) for grid in result["grids"]]))
    lines.append(f"outside grids: {size_text(result['overhead'])}")
    if result["kind"] == "archive":
        promises = {grid["name"]: grid["promise"] for grid in result["grids"] if grid["promise"]}
        pruned = {grid["name"]: grid["pruned"] for grid in result["grids"] if grid["pruned"] is not None}
        lines.append(f"{promise_text(promises)}; {topology_text(pruned)}" if promises else promise_text(promises))
    if result["missing_priors"]:
        lines.append(f"needs the priors {result['missing_priors']}; decompress it with --priors FILE")
    if args.verbose:
        lines += _details("file", result["metadata"])
        for grid in result["grids"]:
            lines += _details(grid["name"], grid["metadata"])
            lines.append(f"{grid['name']}: {' '.join(grid['transform'].split())}")
    return "\n".join(lines)


def _row(grid: dict, size: int) -> list[str]:
    kind = grid["type"] + (" half" if grid["half"] else "")
    if grid["instance_of"]:
        kind += f" = {grid['instance_of']}"
    sizes, total = grid["bytes"], sum(grid["bytes"].values())
    counts = ["-" if grid[name] is None else str(grid[name]) for name in ("active_voxels", "leaves", "active_tiles")]
    parts = [size_text(sizes[name]) if name in sizes else "-" for name in ("topology", "values")]
    return [
        grid["name"],
        kind,
        grid["grid_class"],
        voxel_size_text(grid["voxel_size"]),
        *counts,
        *parts,
        size_text(total),
        f"{total / size:.1%}",
    ]


def _details(name: str, metadata: dict) -> list[str]:
    return [f"{name}: {key} = {value} ({kind})" for key, (kind, value) in metadata.items()]
