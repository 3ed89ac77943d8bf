"""What frames of a mount cost: python tests/benchmarks/mounts.py SHOT [--opens N] [--render SECONDS]

SHOT is an archive of many frames. Prints the tables of data/results/mounts.md: the first open of its last frame against
`nvdb decompress` in CPU seconds, best of three in turn; a second open; a renderer that takes frames in order, with and
without time between them; N opens in random order with a cache that holds a third of the frames. Needs FUSE and pgrep.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import neuralvdb
from neuralvdb.frame_number import text_of

NVDB = [sys.executable, "-P", "-c", "import sys; from neuralvdb.cli import main; sys.exit(main())"]
ROUNDS = 3


def nvdb(*arguments: object) -> str:
    """What `nvdb` prints."""
    return subprocess.run([*NVDB, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def mounted(shot: Path, *options: object) -> Iterator[tuple[Path, int]]:
    """A mount with a cache of its own: the folder, and the number of its process."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "mount"
        report = json.loads(nvdb("mount", shot, target, "--cache", f"{folder}/cache", "--json", *options))
        try:
            yield target, report["results"][0]["process"]
        finally:
            nvdb("unmount", target)
            time.sleep(0.5)


def processes(first: int) -> list[int]:
    """A process, its children and theirs."""
    numbers = [first]
    for number in numbers:
        children = subprocess.run(["pgrep", "-P", str(number)], capture_output=True, text=True).stdout
        numbers += map(int, children.split())
    return numbers


def cpu_seconds(first: int) -> float:
    """CPU time of a process and all below it."""
    ticks = 0
    for number in processes(first):
        ticks += sum(map(int, Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def opens(shot: Path) -> None:
    """First and second opens of the last frame."""
    decompress, first, second = [], [], []
    with neuralvdb.open(shot) as archive:
        number = text_of(archive.frames[-1])
    for _ in range(ROUNDS):
        with mounted(shot) as (folder, process), tempfile.TemporaryDirectory() as other:
            name = sorted(os.listdir(folder))[-1]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            nvdb("decompress", shot, "--frames", number, "-o", f"{other}/")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            decompress.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            start = cpu_seconds(process)
            (folder / name).open("rb").close()
            first.append(cpu_seconds(process) - start)
            for _ in range(10):
                began = time.perf_counter()
                with open(folder / name, "rb") as file:
                    file.read(1 << 16)
                second.append(time.perf_counter() - began)
    print("| | |\n| --- | ---: |")
    print(f"| `nvdb decompress --frames` of it | {min(decompress):.2f} s CPU |")
    print(f"| first open | {min(first):.2f} s CPU |")
    print(f"| second open and 64 kB of it | {min(second) * 1e3:.1f} ms; the slowest {max(second) * 1e3:.1f} ms |")


def play(shot: Path, render: float) -> None:
    """Frames in order, with `render` seconds after each in which a renderer would use them."""
    print(
        "\n| seconds to render a frame | waits, all frames | the first two | the others, each |\n|---:|---:|---:|---:|"
    )
    for pause in (0, render):
        waits = []
        with mounted(shot, "--threads", 1) as (folder, _):
            for name in sorted(os.listdir(folder)):
                began = time.perf_counter()
                (folder / name).read_bytes()
                waits.append(time.perf_counter() - began)
                time.sleep(pause)
        middle = sorted(waits[2:])[len(waits) // 2 - 1]
        print(f"| {pause} | {sum(waits):.1f} s | {sum(waits[:2]):.1f} s | {middle:.2f} s |")


def many(shot: Path, count: int) -> None:
    """Opens in random order, most of them of frames that are there, and what the processes have meanwhile."""
    draw = random.Random(1).choice
    with mounted(shot, "--sizes", "source") as (folder, _):
        size = sum((folder / name).stat().st_size for name in os.listdir(folder)) // 3
    print(f"\nLimit {size} bytes.\n\n| opens | most bytes in the cache | memory and descriptors of each process |")
    print("| ---: | ---: | --- |")
    with mounted(shot, "--cache-size", size, "--sizes", "source") as (folder, process):
        names, most = sorted(os.listdir(folder)), 0
        for number in range(1, count + 1):
            name = draw(names) if number % 10 == 0 else draw(names[:3])
            with open(folder / name, "rb") as file:
                file.read(4096)
            if number % 50 == 0:
                most = max(most, sum(path.stat().st_size for path in (folder.parent / "cache/frames").iterdir()))
            if number in (count // 10, count // 2, count):
                print(f"| {number} | {most} | {', '.join(map(held_by, processes(process)))} |", flush=True)


def held_by(process: int) -> str:
    """Memory and open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return f"{pages * resource.getpagesize() >> 20} MB {len(os.listdir(f'/proc/{process}/fd'))}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("shot", type=Path)
    parser.add_argument("--opens", type=int, default=10_000)
    parser.add_argument("--render", type=float, default=4.0)
    choices = parser.parse_args()
    opens(choices.shot)
    play(choices.shot, choices.render)
    many(choices.shot, choices.opens)
