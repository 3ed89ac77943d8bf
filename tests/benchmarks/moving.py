"""What frames save that are coded from the frame before, of shots whose motion is known.

    python tests/benchmarks/moving.py [-o data/results/moving.md]

A cloud of all scales turns and rises, so many voxels a frame on average, with velocities and a temperature that goes
with it; every frame is drawn anew from the same waves, so that no resampling smooths it. Bytes of each grid in all
frames but the first, coded in one chunk, as a share of what they take coded alone.

Then whole archives of nine frames that are coded from both sides, as a share of what they take in a row, and which of
these an encoder takes.
"""

import argparse
import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np

from neuralvdb.api import shot
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import OpenFrames
from neuralvdb.codec.slow_motion import is_slow
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

EDGE, FRAMES, SLOW_FRAMES = 48, 6, 9
GRIDS = ("velocity", "density", "temperature")
SPEEDS = (0.1, 0.3, 1.0)  # voxels a frame, on average
SLOW_SPEEDS = (0.05, 0.1, 0.3)  # likewise, of the second table
SETTINGS = {
    "production": CompressSettings(quality="production", force=True, verify=False),
    "1 %": CompressSettings(bounds=(Bound(value=0.01, relative=True),), force=True, verify=False),
}


class Waves:
    """A field that is a sum of waves of all scales down to three voxels: its values anywhere."""

    def __init__(self, seed: int, count: int = 220) -> None:
        rng = np.random.default_rng(seed)
        lengths = np.geomspace(EDGE, 3, count)
        directions = rng.normal(size=(count, 3))
        self._waves = 2 * np.pi / lengths[:, None] * directions / np.linalg.norm(directions, axis=1)[:, None]
        self._phases, self._sizes = rng.uniform(0, 2 * np.pi, count), lengths**0.8

    def at(self, points: np.ndarray) -> np.ndarray:
        """(n,) of points (n, 3)."""
        values = np.zeros(len(points))
        for wave, phase, size in zip(self._waves, self._phases, self._sizes, strict=True):
            values += size * np.sin(points @ wave + phase)
        return values / np.sqrt((self._sizes**2).sum() / 2)


def frame(number: int, speed: float, target: Path) -> None:
    """Writes a frame: what it shows was turned about the z axis through the middle, and lifted."""
    points = np.stack(np.unravel_index(np.arange(EDGE**3), (EDGE,) * 3), axis=1) - (EDGE - 1) / 2
    turn = speed / (EDGE / 4)  # radians a frame
    angle = -turn * number
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    before = points @ matrix.T - np.array([0, 0, 0.3 * speed * number])
    density = np.maximum(0.6 + 0.5 * Waves(1).at(before) - (before**2).sum(1) / (EDGE / 2.6) ** 2, 0)
    temperature = density * (1.5 + 0.3 * Waves(2).at(before))
    velocity = np.stack([-turn * points[:, 1], turn * points[:, 0], np.full(len(points), 0.3 * speed)], axis=1)
    velocity += 0.02 * speed * np.stack([Waves(3 + axis).at(before) for axis in range(3)], axis=1)
    active = density > 0
    fields = {"velocity": 24 * velocity * active[:, None], "density": density, "temperature": temperature}
    grids = []
    for name, values in fields.items():
        dense = values.reshape(EDGE, EDGE, EDGE, *values.shape[1:]).astype("f4")
        grids.append(from_dense(dense, name=name, active=active.reshape((EDGE,) * 3)))
    write_vdb(target, grids)


def frames(folder: Path, count: int, speed: float) -> list[FrameSource]:
    """So many frames in files."""
    sources = []
    for number in range(count):
        path = folder / f"cloud.{number:04}.vdb"
        frame(number, speed, path)
        sources.append(FrameSource(str(path), number))
    return sources


def written(sources: list[FrameSource], target: Path, settings: CompressSettings, chunk: int) -> int:
    """Bytes of the archive of these frames."""
    with compressing_frames(sources, str(target), settings, ShotSoFar(chunk)) as task:
        task.work()
    return target.stat().st_size


def sizes(sources: list[FrameSource], target: Path, settings: CompressSettings, chunk: int) -> Counter[str]:
    """Bytes of each grid in all frames but the first."""
    written(sources, target, settings, chunk)
    count: Counter[str] = Counter()
    with contextlib.closing(OpenFrames(ArchiveReader(target, is_readable))) as archive:
        for position in range(1, len(sources)):
            opened = archive.at(position)
            for number, head in enumerate(opened.grids):
                count[head.name] += sum(opened.index.sizes(number).values())
    return count


def rows() -> list[str]:
    """The table."""
    out = [f"| voxels a frame | settings | {' | '.join(GRIDS)} |", "| ---: | --- | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as folder:
        for speed in SPEEDS:
            sources = frames(Path(folder), FRAMES, speed)
            for name, settings in SETTINGS.items():
                alone = sizes(sources, Path(folder) / "alone.neuralvdb", settings, 1)
                chunk = sizes(sources, Path(folder) / "chunk.neuralvdb", settings, FRAMES)
                shares = " | ".join(
                    f"{chunk[grid] / alone[grid]:.0%}" for grid in ("velocity", "density", "temperature")
                )
                out.append(f"| {speed} | {name} | {shares} |")
                print(out[-1], flush=True)
    return out


def slow_rows() -> list[str]:
    """The second table."""
    out = ["| voxels a frame | settings | from both sides | taken |", "| ---: | --- | ---: | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for speed in SLOW_SPEEDS:
            sources = frames(Path(folder), SLOW_FRAMES, speed)
            for name, settings in SETTINGS.items():
                size = {}
                for slow in (False, True):
                    with mock.patch.object(shot, "is_slow", return_value=slow):
                        size[slow] = written(sources, Path(folder) / "shot.neuralvdb", settings, SLOW_FRAMES)
                taken = is_slow(VdbReader(sources[0].path), VdbReader(sources[-1].path), settings)
                out.append(f"| {speed} | {name} | {size[True] / size[False]:.1%} | {'yes' if taken else 'no'} |")
                print(out[-1], flush=True)
    return out


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="the page to write")
    args = parser.parse_args()
    table, slow_table = "\n".join(rows()), "\n".join(slow_rows())
    if args.output is not None:
        text = "# Frames from the frame before, by known motion\n\n    python tests/benchmarks/moving.py\n\n"
        about, about_slow = (paragraph.strip().replace("\n", " ") for paragraph in __doc__.split("\n\n")[2:])
        args.output.write_text(f"{text}{about}\n\n{table}\n\n{about_slow}\n\n{slow_table}\n")


if __name__ == "__main__":
    main()
