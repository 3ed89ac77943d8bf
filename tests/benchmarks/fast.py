"""What networks without hidden layers (--fast) cost in bytes and save in time, as a Markdown table.

    OMP_NUM_THREADS=1 python -P tests/benchmarks/fast.py FILE... [-o data/results/fast.md]

Both kinds of networks code every lossy grid of a file in turn, on one thread, so that what else the machine does tells
on both alike.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from neuralvdb.codec.guarantee import promise_for
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.decoder import ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import priors
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.families import select_networks
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

from rate_tables import table

RULES = """\
Values of all grids of a file by the networks with hidden layers and, after the arrow, by those without (`--fast`):
bytes of VALS and TILE, seconds of CPU for coding and decoding, the best of two runs on one thread. Nothing is fitted.
"""
MODES = {
    "1 %": CompressSettings(bounds=(Bound(value=0.01, relative=True),)),
    "0.3 %": CompressSettings(bounds=(Bound(value=0.003, relative=True),)),
    "production": CompressSettings(quality="production"),
}
RUNS = 2


def fastest(job: Callable[[], object]) -> tuple[float, object]:
    """Seconds of CPU of the fastest run, and what it gives."""
    times, result = [], None
    for _ in range(RUNS):
        began = time.process_time()
        result = job()
        times.append(time.process_time() - began)
    return min(times), result


def measure(tree: Tree, promise: Promise, models: priors.ModelSet) -> list[float]:
    """Bytes, and seconds of coding and decoding."""
    choice = select_networks(tree, promise, [models])
    options = EncodeOptions(models=choice.models)
    coding, coded = fastest(lambda: encoder.encode(tree, choice.promise, options))
    source = ValuesSource.of(coded, "values")
    decoding, _ = fastest(lambda: ValuesDecoder(source).decode())
    return [len(coded.payload) + sum(map(len, coded.chunks.values())), coding, decoding]


def table_row(path: Path, mode: str) -> list[str]:
    """A row of the table; no cells where no grid is lossy."""
    sums = {models: [0.0] * 3 for models in (priors.shipped, priors.fast)}
    for grid in VdbReader(path):
        promise = None if grid.tree is None or not len(grid.tree.leaf) else promise_for(grid, MODES[mode])
        if promise is not None:
            for models, total in sums.items():
                sums[models] = [a + b for a, b in zip(total, measure(grid.tree, promise, models()), strict=True)]
    full, fast = sums.values()
    if not full[0]:
        return []
    times = [f"{a:.2f} -> {b:.2f} ({a / b:.2f}x)" for a, b in zip(full[1:], fast[1:], strict=True)]
    return [path.stem, mode, f"{full[0]:.0f} -> {fast[0]:.0f} ({fast[0] / full[0] - 1:+.0%})", *times]


def main() -> None:
    """Measures the files named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    jobs = [(path, mode) for path in args.files for mode in MODES]
    rows = [cells for job in tqdm(jobs, unit="row") if (cells := table_row(*job))]
    text = f"# Fast networks\n\n{RULES}\n{table(['file', 'errors', 'bytes', 'coding, s', 'decoding, s'], rows)}\n"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
