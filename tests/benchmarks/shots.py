"""What a shot costs to write and to read beside its frames alone.

    python tests/benchmarks/shots.py [SHOT...]

SHOT: a folder of frames. CPU seconds, user and system, of whole commands with one thread, best of three, at production:
compressing one by one (`--all-intra`) and in chunks of 12 frames, in turn, and decompressing both. Then
frame 57 of 100 generated ones, the ninth of its chunk, and of 1,000 small ones: CPU seconds, peak memory, bytes read.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

import neuralvdb
from neuralvdb.archive import ArchiveReader, container
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import OpenFrames
from neuralvdb.dataclass import dataclass
from neuralvdb.platform import read_at
from neuralvdb.vdb import from_dense, write_vdb

NVDB = Path(sys.executable).with_name("nvdb")
FRAME = 57


@dataclass(frozen=True)
class Cost:
    """Of a command. seconds: of CPU time. peak: of its memory, in MB."""

    seconds: float
    peak: float


def cost(*arguments: object) -> Cost:
    """What `nvdb` takes with these arguments. Raises SystemExit where it fails."""
    command = [str(NVDB), *map(str, arguments), "-q", "--threads", "1"]
    child = os.spawnve(os.P_NOWAIT, NVDB, command, {**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def least(costs: list[Cost]) -> Cost:
    """The best of several runs."""
    return min(costs, key=lambda each: each.seconds)


def shot_row(shot: Path, work: Path) -> str:
    """A row of the first table."""
    alone, chunks = work / "alone.neuralvdb", work / "chunks.neuralvdb"
    options = ("--quality", "production", "--no-verify", "--force")
    encoded, decoded = ([], []), ([], [])
    for _ in range(3):
        for i, (target, chunk) in enumerate(((alone, 1), (chunks, 12))):
            encoded[i].append(cost("compress", shot, "-o", target, "--chunk", chunk, *options))
            decoded[i].append(cost("decompress", target, "-o", f"{work}/out/", "--force"))
    columns = [f"| {shot.name} "]
    for each in (encoded, decoded):
        without, within = (least(costs).seconds for costs in each)
        columns.append(f"| {without:.2f} | {within:.2f} | {within / without:.2f} ")
    shutil.rmtree(work / "out")
    return "".join(columns) + "|"


def make_frames(count: int, edge: int, folder: Path) -> None:
    """A cloud of waves that drifts by 0.2 voxels a frame, and the wind."""
    rng = np.random.default_rng(3)
    waves = np.fft.rfftn(rng.normal(size=(edge,) * 3))
    along = [np.fft.fftfreq(edge), np.fft.fftfreq(edge), np.fft.rfftfreq(edge)]
    squares = along[0][:, None, None] ** 2 + along[1][:, None] ** 2 + along[2] ** 2
    active = (np.indices((edge,) * 3) - (edge - 1) / 2).__pow__(2).sum(0) < (edge / 2 - 1) ** 2
    wind = np.where(active[..., None], (4.8, 0, 0), 0).astype("f4")  # 24 frames a second
    for number in range(1, count + 1):
        drift = np.exp(-2j * np.pi * 0.2 * number * along[0])[:, None, None]
        values = np.fft.irfftn(waves * np.exp(-30 * squares) * drift, (edge,) * 3, axes=(0, 1, 2))
        density = np.where(active, 2 + values / values.std(), 0).clip(0).astype("f4")
        grids = {"velocity": wind, "density": density}
        vdb = [from_dense(v, name=name, active=active) for name, v in grids.items()]
        write_vdb(folder / f"cloud.{number:04}.vdb", vdb)


def access_row(count: int, edge: int, work: Path) -> str:
    """A row of the second table."""
    frames, archive = work / f"frames{count}", work / f"{count}.neuralvdb"
    frames.mkdir()
    make_frames(count, edge, frames)
    cost("compress", frames, "-o", archive, "--no-verify")
    cost("compress", frames / f"cloud.{FRAME:04}.vdb", "-o", work / f"one{count}.neuralvdb", "--no-verify")
    every = cost("decompress", archive, "-o", f"{work}/all{count}/")
    shown = least([cost("info", archive) for _ in range(3)])
    single = least(
        [cost("decompress", work / f"one{count}.neuralvdb", "-o", work / "x.vdb", "--force") for _ in range(3)]
    )
    asked = least([cost("decompress", archive, "--frames", FRAME, "-o", work / "x.vdb", "--force") for _ in range(3)])
    read, needed, size = bytes_read(archive)
    return (
        f"| {count} frames of {edge}^3 voxels, {size} bytes | {shown.seconds:.2f} | {every.seconds:.2f} "
        f"| {asked.seconds:.2f} | {single.seconds:.2f} | {asked.peak:.0f} / {single.peak:.0f} | {read} / {needed} |"
    )


def bytes_read(archive: Path) -> tuple[int, int, int]:
    """Of a file for one frame; of that frame and those of its chunk before it; of the whole file."""
    touched: set[int] = set()

    def reading(*arguments):
        touched.update(range(arguments[1], arguments[1] + arguments[2]))
        return read_at(*arguments)

    with mock.patch.object(container, "read_at", reading), neuralvdb.open(archive) as frames:
        for name in frames[FRAME]:
            frames[FRAME].read(name)
    with ArchiveReader(archive, is_readable) as opened:
        position = opened.directory.find(FRAME)
        group = opened.directory.group(position)
        needed = sum(OpenFrames(opened).at(at).size for at in range(group.start, position + 1))
    return len(touched), needed, archive.stat().st_size


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shots", nargs="*", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| shot | compress, one by one | in chunks | ratio | decompress, one by one | in chunks | ratio |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for shot in args.shots:
            print(shot_row(shot, Path(folder)), flush=True)
        print(f"\n| archive | info | all | frame {FRAME} | one of one | MB | bytes read / of its chunk |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for count, edge in ((100, 32), (1000, 16)):
            print(access_row(count, edge, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
