"""How coarse a velocity may be before motion blur shows it: Cycles pictures of original density in original and decoded
velocity.

    python -P tests/benchmarks/motion_blur.py [DATA] [-o data/results/presets-velocity.md] [--cases fire,smoke]

DATA: the folder of real volumes. Needs Pillow and a Python with `bpy` (NEURALVDB_TEST_BPY, else this).
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from neuralvdb import CompressSettings, DecompressSettings, compress, decompress, info
from neuralvdb.settings import Bound
from neuralvdb.vdb import VdbReader, describe_transform, write_vdb
from neuralvdb.volume.grid import unpack

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import pictures
from rate_tables import table

GRIDS = ("density", "temperature", "velocity")
BLUR = 8  # voxels that the fastest 1 % of the voxels cross while the shutter is open
SIZE, SAMPLES = (240, 180), 16  # pixels, samples per pixel
BOUNDS = "0.0025,0.01,0.02,0.04"  # shares of the range
COMPANDED = 5  # a value may also be off by that many times the bound's share of it
CASES = {  # a scene of data/render.py, and a file: relative to DATA, or ours
    "smoke": ("smoke-thick", "data/sample/smoke.vdb"),
    "fire": ("fire", "sequence-blender-24grids/fluid_data_0010.vdb"),
    "plume": ("smoke-thick", "sequence-blender/fluid_data_0031.vdb"),
}
RULES = f"""\
- Only the velocity is decoded; density and temperature are the original's. The velocity is scaled so that its
  fastest 1 % cross {BLUR} voxels while the shutter is open: a strong blur.
- Pictures by data/render.py, {SIZE[0]}x{SIZE[1]}, {SAMPLES} samples.
- maximum error: of each component, as a share of the range. bytes: of the velocity's values; bit/voxel: by active
  voxel. companded: the bytes where a value may also be off by {COMPANDED} times that share of itself.
- picture PSNR: of 8-bit sRGB, equal seeds. largest local difference: of the means over
  {pictures.BLUR}x{pictures.BLUR} pixels, in levels of 256. "noise" compares the original with itself
  under another seed.
"""


@dataclass(frozen=True)
class Shot:
    """What is rendered: a scene, and frames of blur per unit of velocity."""

    scene: str
    motion: float
    picture: Path

    def render(self, source: Path, *, seed: int = 7) -> np.ndarray:
        """The picture (H, W, 3) float64 of a file, in 8-bit levels of sRGB."""
        options = ["--seed", seed, "--samples", SAMPLES, "--size", *SIZE, "--motion", self.motion]
        command = [pictures.PYTHON, "-P", pictures.ROOT / "data" / "render.py", self.scene, source, self.picture]
        subprocess.run([*map(str, [*command, *options])], check=True, capture_output=True)
        with Image.open(self.picture) as image:
            return np.asarray(image.convert("RGB"), np.float64)


def blur(path: Path) -> float:
    """Frames per unit of velocity that make the blur."""
    reader = VdbReader(path)
    grid = next(reader.read(i) for i, entry in enumerate(reader.entries) if entry.name == "velocity")
    speeds = np.linalg.norm(grid.tree.leaf.values[unpack(grid.tree.leaf.active)].astype(float), axis=-1)
    return BLUR * max(describe_transform(grid.transform).voxel_size) / float(np.percentile(speeds, 99))


def measure(name: str, bounds: list[float], data: Path, folder: Path) -> list[list[object]]:
    """Rows of the table."""
    scene, file = CASES[name]
    original, archive, decoded = (folder / n for n in ("a.vdb", "a.neuralvdb", "b.vdb"))
    reader = VdbReader(next(path for path in (pictures.ROOT / file, data / file) if path.exists()))
    write_vdb(original, [reader.read(i) for i, entry in enumerate(reader.entries) if entry.name in GRIDS])
    shot = Shot(scene, blur(original), folder / "a.png")
    before = shot.render(original)
    noise = pictures.difference(before, shot.render(original, seed=8))
    body: list[list[object]] = [[name, "noise", "-", "-", "-", *noise]]
    for share in tqdm(bounds, desc=name, unit="bound", leave=False):
        sizes = []
        for ratio in (COMPANDED * share, 0.0):
            bound = Bound(value=share, relative=True, ratio=ratio, grid="velocity")
            compress(original, archive, CompressSettings(quality="lossless", bounds=(bound,), force=True))
            grid = next(grid for grid in info(archive).grids if grid.name == "velocity")
            sizes.append(grid.bytes["values"])
        decompress(archive, decoded, DecompressSettings(force=True))
        bits = f"{8 * sizes[1] / grid.active_voxels:.2f}"
        differences = pictures.difference(before, shot.render(decoded))
        body.append([name, f"{share:.2%}", sizes[1], bits, sizes[0], *differences])
    return [[*cells[:-2], f"{cells[-2]:.1f}", f"{cells[-1]:.1f}"] for cells in body]


def main() -> None:
    """Renders what is there and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=pictures.ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/results/presets-velocity.md"))
    parser.add_argument("--cases", default=",".join(CASES), help="names, separated by commas (default: all)")
    parser.add_argument(
        "--bounds", default=BOUNDS, help=f"shares of the range, separated by commas (default: {BOUNDS})"
    )
    args = parser.parse_args()
    bounds = [float(bound) for bound in args.bounds.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        body = [cells for name in args.cases.split(",") for cells in measure(name, bounds, args.data, Path(folder))]
    head = ["case", "maximum error", "bytes", "bit/voxel", "companded", "picture PSNR", "largest local difference"]
    title = "# Velocity by motion blur\n\n`python -P tests/benchmarks/motion_blur.py DATA`\n\n"
    text = f"{title}{RULES}\n{table(head, body)}"
    print(text)
    args.output.write_text(text)


if __name__ == "__main__":
    main()
