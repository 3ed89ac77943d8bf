"""Whole files: how small they get, against their own size and against half floats with Blosc, as Markdown tables.

    python -P tests/benchmarks/files.py [DATA] [-o data/results/files.md]

DATA: a folder of real volumes; files that cannot be read, derived ones and those under 50 kB are left out.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neuralvdb import CompressSettings, compress, info
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import Bound
from neuralvdb.vdb import VdbReader, _bridge, write_vdb
from neuralvdb.volume import Storage, VolumeGrid

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

from rate_tables import table

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = 50_000  # bytes
LEFT_OUT = ("bugs", "hostile", "malformed", "variants")
GRIDS_OF = "sequence-blender-24grids"  # the folder that is reported grid by grid
ONE_PERCENT = (Bound(value=0.01, relative=True),)
SETTINGS = {
    "lossless": CompressSettings(quality="lossless"),
    "1 %": CompressSettings(bounds=ONE_PERCENT),
    "1 % pruned": CompressSettings(bounds=ONE_PERCENT, topology="pruned"),
    "preview": CompressSettings(quality="preview"),
    "production": CompressSettings(quality="production"),
    "master": CompressSettings(quality="master"),
}
RULES = """\
- Size over archive size, everything counted. "1 %": `--rel-error 1%`, a maximum error; preview, production, master:
  `--quality`.
- "half + Blosc": what OpenVDB 10 makes of the same grids, floats and vectors as half; then production against that.
"""


def half_blosc(path: Path, folder: Path) -> int:
    """Bytes of the file as OpenVDB writes it with half floats and Blosc."""
    target = folder / "half.vdb"
    write_vdb(target, [_half(grid) for grid in VdbReader(path)])
    return target.stat().st_size


def _half(grid: VolumeGrid) -> VolumeGrid:
    if grid.storage is not Storage.TREE or grid.half:
        return grid
    return replace(grid, half=True, metadata=_bridge.make_metadata({"is_saved_as_half_float": True}))


def files(data: Path) -> Iterator[Path]:
    """The files to be measured."""
    for path in sorted(data.rglob("*.vdb")):
        if path.stat().st_size >= SMALLEST and path.parent.name not in LEFT_OUT:
            yield path


def measure(path: Path, folder: Path) -> dict[str, float]:
    """Ratios by setting."""
    size = path.stat().st_size
    measured = {}
    for name, settings in SETTINGS.items():
        target = folder / f"{name}.neuralvdb"
        measured[name] = compress(path, target, replace(settings, force=True, verify=False)).ratio
    blosc = half_blosc(path, folder)
    return (
        {"half + Blosc": size / blosc}
        | measured
        | {"production against half + Blosc": measured["production"] * blosc / size}
    )


def by_grid(paths: list[Path], folder: Path) -> str:
    """Bytes of topology and values of every grid at production, summed over the frames."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(5))
    for path in paths:
        target = folder / "frame.neuralvdb"
        compress(path, target, CompressSettings(quality="production", force=True, verify=False))
        for before, after in zip(info(path).grids, info(target).grids, strict=True):
            sizes_after = after.bytes.get("topology", 0), after.bytes.get("values", 0) + after.bytes.get("data", 0)
            sums[before.name] += before.active_voxels or 0, before.total, *sizes_after, after.total
    rows = [
        [name, *(int(x) for x in sums_of_grid), f"{sums_of_grid[1] / max(sums_of_grid[4], 1):.1f}"]
        for name, sums_of_grid in sums.items()
    ]
    return table(["grid", "active voxels", "bytes in .vdb", "topology", "values", "archive", "ratio"], rows)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "data/results/files.md")
    args = parser.parse_args()
    rows, head = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in tqdm(list(files(args.data)), unit="file"):
            try:
                measured = measure(path, folder)
            except NeuralVdbError as error:
                tqdm.write(f"left out: {error}")
                continue
            head = list(measured)
            rows.append(
                [f"{path.parent.name}/{path.stem}", path.stat().st_size, *(f"{x:.2f}" for x in measured.values())]
            )
        frames = by_grid([path for path in files(args.data) if path.parent.name == GRIDS_OF], folder)
    text = ["# Whole files\n", "`python -P tests/benchmarks/files.py DATA`\n", RULES]
    text += [table(["file", "bytes", *head], rows), f"## {GRIDS_OF}, all frames, production, by grid\n", frames]
    args.output.write_text("\n".join(text))


if __name__ == "__main__":
    main()
