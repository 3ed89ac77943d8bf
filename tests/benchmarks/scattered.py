"""What scattered leaves cost beside dense ones: time of the processor for each leaf, and memory, of whole commands.

    python -P tests/benchmarks/scattered.py [-o data/results/scattered.md] [--leaves 7000] [--runs 3]

Each grid has as many leaves, full of a ramp with noise, at random places of a cube of so many blocks of 128 voxels. The
first cube is as small as leaves allow: they fill a tenth of it.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neuralvdb.vdb import GridProperties, from_dense, write_vdb
from neuralvdb.vdb.dense import tree_of_leaves
from neuralvdb.volume import VolumeGrid

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

from rate_tables import table

SETTINGS = {"production": ("--quality", "production"), "1 %": ("--rel-error", "1%")}
ALWAYS = ("-q", "--force", "--threads", "1")
NVDB = "import sys; from neuralvdb.cli import main; sys.exit(main())"


def scattered(leaves: int, blocks: float, rng: np.random.Generator) -> VolumeGrid:
    """Leaves at random places of a cube of so many blocks along each edge."""
    edge = round(blocks * 16)
    slots = rng.choice(edge**3, leaves, replace=False)
    origins = np.stack(np.unravel_index(slots, (edge,) * 3), 1).astype(np.int32) * 8
    ramp = np.indices((8, 8, 8)).sum(0).reshape(1, 512) / 7
    values = (ramp * rng.random((leaves, 1)) + 0.02 * rng.standard_normal((leaves, 512))).astype(np.float32)
    tree = tree_of_leaves(origins, values, np.ones(values.shape, bool), np.zeros((), np.float32))
    grid = from_dense(values[:1].reshape(8, 8, 8), name="spray", properties=GridProperties(grid_class="fog volume"))
    grid.tree = tree
    return grid


def command(*arguments: str) -> tuple[float, float]:
    """Seconds of the processor and MiB of memory that a command takes."""
    executable = [sys.executable, "-P", "-c", NVDB, *arguments]
    _, status, usage = os.wait4(os.posix_spawn(sys.executable, executable, os.environ), 0)
    if status:
        sys.exit(f"{arguments} ends with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def best(runs: int, *arguments: str) -> tuple[float, float]:
    """The least of several runs."""
    taken = [command(*arguments) for _ in range(runs)]
    return min(seconds for seconds, _ in taken), min(memory for _, memory in taken)


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--leaves", type=int, default=7000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    cubes = [(10 * options.leaves / 4096) ** (1 / 3), 10, 20, 36, 62]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, archive, back = (str(Path(folder) / name) for name in ("a.vdb", "a.neuralvdb", "b.vdb"))
        start, _ = best(options.runs, "info", str(Path(__file__).parents[2] / "data/sample/cloud.vdb"))
        for blocks in tqdm(cubes):
            write_vdb(source, [scattered(options.leaves, blocks, np.random.default_rng(0))])
            for name, setting in SETTINGS.items():
                encode, most = best(options.runs, "compress", source, "-o", archive, *setting, *ALWAYS)
                decode, least = best(options.runs, "decompress", archive, "-o", back, *ALWAYS)
                each = [f"{(seconds - start) / options.leaves * 1e6:.0f}" for seconds in (encode, decode)]
                size = os.path.getsize(archive)
                rows.append([f"{blocks:.1f}", name, *each, f"{most:.0f}", f"{least:.0f}", str(size)])
    head = [
        "blocks along an edge",
        "settings",
        "compress, us a leaf",
        "decompress, us a leaf",
        "peak, MiB",
        "peak, MiB",
        "bytes",
    ]
    title = f"# Scattered leaves\n\n`python -P tests/benchmarks/scattered.py`: {options.leaves} leaves, one thread."
    text = f"{title}\n\n{table(head, rows)}"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
