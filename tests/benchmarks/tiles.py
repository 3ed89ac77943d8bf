"""What chunks cost in size, and what they save a reader that wants a part.

    python -P tests/benchmarks/tiles.py FILE GRID --detailed FILE GRID [-o data/results/tiles.md] [--factors 3,4]
        [--runs 3]

Sizes are of the values as an archive holds them, entries of the index included, against one chunk for the whole grid;
nothing is fitted. The first grid is made larger by trilinear interpolation, its mask by repetition, and is then smooth
as hardly any volume is; the second has its own detail and is cut into parts far smaller than would be. Times of
`nvdb decompress` with one thread are of the first at the second factor, seconds of the processor, the least of several
runs. The box of one eighth goes from the lower corner of the active voxels to their middle.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from neuralvdb import CompressSettings, compress
from neuralvdb.codec.encode import encode_values
from neuralvdb.settings import Bound
from neuralvdb.topology import chunks
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import VolumeGrid, leaf_origins
from neuralvdb.volume.grid import unpack

HOWS = {
    "--quality production": CompressSettings(quality="production", effort=0),
    "--rel-error 1%": CompressSettings(bounds=(Bound(value=0.01, relative=True),), effort=0),
    "--rel-error 0.1%": CompressSettings(bounds=(Bound(value=0.001, relative=True),), effort=0),
}
LEAVES = 1200  # of a chunk of the detailed grid
HUGE = 1 << 40  # leaves: more than any grid here has


def enlarged(grid: VolumeGrid, factor: int) -> VolumeGrid:
    """The leaves of a scalar grid with voxels `factor` times as small."""
    origins = leaf_origins(grid.tree)
    low = origins.min(0)
    values = np.zeros(origins.max(0) + 8 - low, np.float32)
    active = np.zeros(values.shape, bool)
    blocks = grid.tree.leaf.values.reshape(-1, 8, 8, 8), unpack(grid.tree.leaf.active).reshape(-1, 8, 8, 8)
    for (x, y, z), block, on in zip(origins - low, *blocks, strict=True):
        values[x : x + 8, y : y + 8, z : z + 8] = block
        active[x : x + 8, y : y + 8, z : z + 8] = on
    tensor = torch.from_numpy(np.where(active, values, 0))[None, None]
    large = F.interpolate(tensor, scale_factor=factor, mode="trilinear")[0, 0].numpy()
    for axis in range(3):
        active = active.repeat(factor, axis)
    large = np.where(active, large, 0).astype(np.float16).astype(np.float32)
    properties = GridProperties(grid_class="fog volume", half=True)
    return from_dense(large, name=grid.name, active=active, origin=tuple(low * factor), properties=properties)


def sizes(grid: VolumeGrid, leaves: int) -> list[tuple[str, int, int, int]]:
    """Setting, chunks of at most so many leaves, bytes, bytes as one chunk."""
    rows = []
    for name, settings in HOWS.items():
        with mock.patch.object(chunks, "LEAVES", leaves):
            cut = encode_values(grid, replace(settings, threads=1))
        with mock.patch.object(chunks, "LEAVES", HUGE):
            whole = encode_values(grid, replace(settings, threads=1))
        rows.append((name, len({number // 4 for number in cut.chunks}), cut.size, whole.size))
    return rows


def seconds(runs: int, archive: Path, *options: str) -> float:
    """Of the processor in the fastest `nvdb decompress` with these options."""
    code = "import sys; from neuralvdb.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-P",
        "-c",
        code,
        "decompress",
        str(archive),
        "-o",
        str(archive.with_suffix(".back.vdb")),
    ]
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "--force", "-q", "--threads", "1", *options], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def partial_times(grid: VolumeGrid, settings: CompressSettings, runs: int, folder: Path) -> list[tuple[str, float]]:
    """Options and seconds; all of the grid first."""
    write_vdb(folder / "large.vdb", [grid])
    compress(folder / "large.vdb", folder / "large.neuralvdb", replace(settings, verify=False, threads=1, force=True))
    low, high = VdbReader(folder / "large.vdb").outline(0).active_bbox
    middle = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
    box = "--bbox=" + ",".join(map(str, (*low, *middle)))
    options = [(), (box,), ("--lod", "1"), ("--lod", "2"), ("--lod", "3"), (box, "--lod", "1")]
    return [(" ".join(region), seconds(runs, folder / "large.neuralvdb", *region)) for region in options]


def size_table(what: str, rows: list[tuple[str, int, int, int]]) -> list[str]:
    """Lines about sizes."""
    return [
        f"Values of {what}, in bytes:",
        "",
        "| setting | chunks | as one chunk | in chunks | more |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(f"| `{name}` | {count} | {whole} | {cut} | {cut / whole - 1:.2%} |" for name, count, cut, whole in rows),
        "",
    ]


def time_table(voxels: int, times: list[tuple[str, float]]) -> list[str]:
    """Lines about times."""
    return [
        f"Seconds of the processor in `nvdb decompress --threads 1`, {voxels:,} active voxels coded with",
        "`--quality production`; the box is an eighth of the volume:",
        "",
        "| what | seconds | share |",
        "| --- | ---: | ---: |",
        *(f"| {f'`{what}`' if what else 'all'} | {took:.1f} | {took / times[0][1]:.3f} |" for what, took in times),
    ]


def grid_of(path: str, name: str) -> VolumeGrid:
    """The grid of that name in a file."""
    (named,) = [grid for grid in VdbReader(path) if grid.name == name]
    return named


def voxels_of(grid: VolumeGrid) -> int:
    """Active voxels of leaves."""
    return int(np.bitwise_count(grid.tree.leaf.active).sum())


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("grid")
    parser.add_argument("--detailed", nargs=2, required=True, metavar=("FILE", "GRID"))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--factors", default="3,4", help="how many times larger: for sizes, for times")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    name, (first, second) = Path(args.path).name, map(int, args.factors.split(","))
    detailed, smooth = grid_of(*args.detailed), grid_of(args.path, args.grid)
    cut = sizes(detailed, LEAVES)
    small = enlarged(smooth, first)
    rows = sizes(small, chunks.LEAVES)
    large = enlarged(smooth, second)
    with tempfile.TemporaryDirectory() as folder:
        times = partial_times(large, HOWS["--quality production"], args.runs, Path(folder))
    lines = [
        "# Domains",
        "",
        "`python -P tests/benchmarks/tiles.py`; nothing is fitted. Trilinear interpolation makes a volume that is",
        "smooth as hardly any is, of which what lies at the faces of chunks takes a large part. The other one has its",
        f"own detail; its chunks of at most {LEAVES} leaves stand for such of {chunks.LEAVES}.",
        "",
        *size_table(f"{Path(args.detailed[0]).name}, {voxels_of(detailed):,} active voxels", cut),
        *size_table(f"{name} {first} times as large, {voxels_of(small):,} active voxels", rows),
        *time_table(voxels_of(large), times),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
