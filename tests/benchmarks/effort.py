"""What fitting networks to grids saves and takes: bytes of archives and time by --effort, as a Markdown table.

    python -P tests/benchmarks/effort.py FILE... [--efforts 0,2,5] [-o data/results/effort.md]

Every archive is decoded and checked. Run it with OMP_NUM_THREADS=1: efforts are compared on one thread.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from neuralvdb import CompressSettings, compress
from neuralvdb.settings import DEFAULT_EFFORT, EFFORTS, Bound

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

from rate_tables import table

MODES = {
    "1 %": CompressSettings(threads=1, bounds=(Bound(value=0.01, relative=True),)),
    "production": CompressSettings(threads=1, quality="production"),
}
RULES = """\
- Bytes of the whole archive at effort 0 (the default), then how many fewer at others, every byte of the refinement
  counted, and the time of `compress` with its check over that of effort 0. One thread; seconds of CPU.
"""


def measure(path: Path, settings: CompressSettings, efforts: list[int], folder: Path) -> list[tuple[int, float]]:
    """Bytes and seconds by effort."""
    measured = []
    for effort in efforts:
        began = time.process_time()
        report = compress(path, folder / "x", replace(settings, effort=effort, force=True))
        measured.append((report.archive_size, time.process_time() - began))
    return measured


def table_row(name: str, mode: str, measured: list[tuple[int, float]]) -> list[str]:
    """A line of the table."""
    size, seconds = measured[0]
    cells = [f"{(s - size) / size:.2%}, {t / seconds:.1f}x" for s, t in measured[1:]]
    return [name, mode, f"{size:,}", f"{seconds:.1f} s", *cells]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--efforts", default="0,2,5")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    efforts = [int(text) for text in args.efforts.split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        measure(args.files[0], MODES["1 %"], efforts[:1], Path(folder))  # what is loaded once does not count
        for path in args.files:
            for mode, settings in MODES.items():
                rows.append(table_row(path.name, mode, measure(path, settings, efforts, Path(folder))))
                print(rows[-1], file=sys.stderr, flush=True)
    names = [f"effort {e}" + (" (default)" if e == DEFAULT_EFFORT else "") for e in efforts[1:]]
    assert max(efforts) < len(EFFORTS)
    text = "# Effort\n\n" + RULES + "\n" + table(["file", "errors", "bytes", "time", *names], rows) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
