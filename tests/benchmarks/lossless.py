"""Sizes, times and memory of lossless archives against OpenVDB's own read and re-write, in one run.

    python -P tests/benchmarks/lossless.py FILE_OR_FOLDER... [-o data/results/lossless.md] [--runs 5]

Times are the smallest of several runs, inside the process, files in the page cache. Peak memory is that of a fresh
process, less what the same process takes before it begins; it is given as a multiple of the uncompressed grids.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from neuralvdb import CompressSettings, DecompressSettings, compress, decompress
from neuralvdb.vdb import VdbReader

HERE = Path(__file__).resolve().parent


def build_baseline(folder: Path) -> Path:
    """Compiles openvdb_rewrite.cc."""
    program = folder / "openvdb_rewrite"
    source = HERE / "openvdb_rewrite.cc"
    subprocess.run(["g++", "-O2", "-std=c++17", source, "-o", program, "-lopenvdb", "-ltbb"], check=True)
    return program


def fastest(runs: int, job) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times)


def child_peak(job) -> int:
    """Bytes that `job` adds to the peak memory of a fresh process."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        job()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(send, str((after - before) * 1024).encode())
        os._exit(0)
    os.close(send)
    answer = os.read(receive, 64)
    os.close(receive)
    os.waitpid(child, 0)
    return int(answer)


def uncompressed(path: Path) -> int:
    """Bytes of all grids of a file in memory."""
    return sum(grid.tree.nbytes if grid.tree is not None else len(grid.blob) for grid in VdbReader(path))


def compression_of(path: Path) -> str:
    """Blosc, zip or none: what the file's first known grid was written with."""
    reader = VdbReader(path)
    flags = [reader.outline(i).compression for i in range(len(reader.entries)) if reader.outline(i).known]
    return next((name for name in ("blosc", "zip") if any(name in f for f in flags)), "none")


def measure(path: Path, folder: Path, baseline: Path, runs: int) -> dict:
    """One row: sizes in bytes, times in seconds."""
    archive, again, rewritten = folder / "a.neuralvdb", folder / "a.vdb", folder / "b.vdb"
    settings, reading = CompressSettings(quality="lossless", force=True), DecompressSettings(force=True)
    memory = [child_peak(lambda: compress(path, archive, settings))]
    encode = fastest(runs, lambda: compress(path, archive, settings))
    memory.append(child_peak(lambda: decompress(archive, again, reading)))
    decode = fastest(runs, lambda: decompress(archive, again, reading))
    command = [baseline, path, rewritten, str(settings.threads)]
    outputs = [subprocess.run(command, capture_output=True, text=True) for _ in range(runs)]
    times = [float(done.stdout) for done in outputs if done.returncode == 0]
    return {
        "path": path,
        "how": compression_of(path),
        "source": path.stat().st_size,
        "archive": archive.stat().st_size,
        "encode": encode,
        "decode": decode,
        "openvdb": min(times) if times else None,
        "memory": [m / uncompressed(path) for m in memory],
        "uncompressed": uncompressed(path),
    }


def row_text(figures: dict) -> str:
    """A line of the table."""
    base = figures["openvdb"]
    times = [f"{figures[k] / base:.2f}" if base else "-" for k in ("encode", "decode")]
    big = figures["uncompressed"] > 32 << 20  # below, the libraries' own memory hides the grids'
    memory = [f"{m:.2f}" if big else "-" for m in figures["memory"]]
    name = "/".join(figures["path"].parts[-2:])
    share = f"{figures['archive'] / figures['source']:.3f}"
    return " | ".join(
        ["", name, figures["how"], str(figures["source"]), str(figures["archive"]), share, *times, *memory, ""]
    ).strip()


def report(rows: list[dict], runs: int) -> str:
    """The table as Markdown."""
    packed = [r["archive"] / r["source"] for r in rows if r["how"] != "none" and r["source"] > 50_000]
    lines = [
        "# Lossless archives",
        "",
        f"`python -P tests/benchmarks/lossless.py DATA` on {os.cpu_count()} cores, best of {runs}.",
        "Times as multiples of OpenVDB reading the file and writing it again (Blosc); `compress` includes decoding",
        "what it wrote to verify it. Memory as multiples of the uncompressed grids, for files of more than 32 MiB.",
        "",
        "| file | input | bytes | archive | share | compress | decompress | peak, compress | peak, decompress |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(row_text, rows),
        "",
    ]
    if packed:
        mean = sum(packed) / len(packed)
        lines.append(f"Inputs over 50 kB that are Blosc or zip compressed: {len(packed)}; mean share {mean:.3f}, ")
        lines.append(f"largest {max(packed):.3f}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures the files named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    files = [
        f for p in args.paths for f in (sorted(p.rglob("*.vdb")) if p.is_dir() else [p]) if "malformed" not in f.parts
    ]
    with tempfile.TemporaryDirectory() as folder:
        baseline = build_baseline(Path(folder))
        rows = [measure(path, Path(folder), baseline, args.runs) for path in tqdm(files, unit="file")]
    text = report(rows, args.runs)
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
