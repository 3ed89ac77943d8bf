"""What the quality presets do to pictures: rates, T-PSNR, and Cycles pictures of original and decoded volumes.

    python -P tests/benchmarks/pictures.py [DATA] [-o data/results] [--cases smoke-thin,fire]

DATA: the folder of real volumes. Writes presets.md, and of the cases that are to be shown a PNG with the original, the
decoded volume of production and their difference. Needs Pillow and a Python with `bpy` (NEURALVDB_TEST_BPY, else this).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from neuralvdb import CompressSettings, DecompressSettings, compress, decompress, info
from neuralvdb.presets import presets
from neuralvdb.vdb import VdbReader, write_vdb

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import measures
import rates
from rate_tables import table

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("NEURALVDB_TEST_BPY") or sys.executable
PRESETS = {name: preset for name, preset in presets().items() if name != "lossless"}
BLUR = 9  # pixels, the window whose mean differences count
AMPLIFIED = 8  # times: differences as shown
SHOWN = (256, 192)  # pixels of each part of the pictures
RULES = f"""\
- Each volume is compressed with each preset and decompressed; its pictures by data/render.py, 480x360, 16 samples.
- bit/voxel: of values, by active voxel, of the grids rendered. T-PSNR: of density, at an optical depth of 1, 8, 50.
- Fog has the step that its promised picture needs; what all fog reaches: [the table](presets-fog.md).
- picture PSNR: of 8-bit sRGB, equal seeds. largest local difference: of the means over {BLUR}x{BLUR} pixels, in levels
  of 256. "noise" compares the original with itself under another seed.
"""


@dataclass(frozen=True)
class Case:
    """What is rendered: a scene of data/render.py, a file (relative to DATA, or ours) and its grids."""

    scene: str
    file: str
    grids: tuple[str, ...]
    shown: bool

    def path(self, data: Path) -> Path:
        """Where the file is."""
        return next(folder / self.file for folder in (ROOT, data) if (folder / self.file).exists())


SMOKE = "openvdb-models/smoke.vdb"
CASES = {
    "smoke-thin": Case("smoke-thin", SMOKE, ("density",), True),
    "smoke-thick": Case("smoke-thick", SMOKE, ("density",), True),
    "cloud": Case("cloud", "clouds/wdas_cloud_sixteenth.vdb", ("density",), False),
    "fire": Case("fire", "sequence-blender-24grids/fluid_data_0010.vdb", ("density", "temperature"), True),
    "generated": Case("cloud", "data/sample/cloud.vdb", ("density",), True),
}


def render(case: Case, source: Path, picture: Path, seed: int = 7) -> np.ndarray:
    """The picture (H, W, 3) float64 of a file, in 8-bit levels of sRGB."""
    command = [PYTHON, "-P", str(ROOT / "data" / "render.py"), case.scene, str(source), str(picture)]
    subprocess.run([*command, "--seed", str(seed)], check=True, capture_output=True)
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """PSNR in dB (peak 255) and the largest difference of local means, in levels, of two pictures."""
    error = float(((a - b) ** 2).mean())
    sums = np.pad(a - b, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    local = (sums[BLUR:, BLUR:] - sums[:-BLUR, BLUR:] - sums[BLUR:, :-BLUR] + sums[:-BLUR, :-BLUR]) / BLUR**2
    return 10 * np.log10(255**2 / error) if error else np.inf, float(np.abs(local).max())


def strip(original: np.ndarray, decoded: np.ndarray) -> Image.Image:
    """Original, decoded and amplified difference side by side."""
    arrays = [original, decoded, 128 + AMPLIFIED * (decoded - original)]
    images = [Image.fromarray(array.clip(0, 255).round().astype(np.uint8)) for array in arrays]
    joined = Image.new("RGB", (3 * SHOWN[0], SHOWN[1]))
    for i, image in enumerate(images):
        joined.paste(image.resize(SHOWN, Image.Resampling.BOX), (i * SHOWN[0], 0))
    return joined


def measure(name: str, case: Case, data: Path, output: Path, folder: Path) -> list[list[object]]:
    """Rows of the table."""
    original, archive, decoded, picture = (folder / n for n in ("a.vdb", "a.neuralvdb", "b.vdb", "a.png"))
    reader = VdbReader(case.path(data))
    write_vdb(original, [reader.read(i) for i, entry in enumerate(reader.entries) if entry.name in case.grids])
    before = render(case, original, picture)
    body = [[name, "noise", "-", "-", "-", "-", *difference(before, render(case, original, picture, seed=8))]]
    density = next(rates.load(original, {"density"}))
    for preset in tqdm(PRESETS, desc=name, unit="preset", leave=False):
        compress(original, archive, CompressSettings(quality=preset, force=True))
        decompress(archive, decoded, DecompressSettings(force=True))
        grids = info(archive).grids
        bits = 8 * sum(grid.bytes["values"] for grid in grids) / sum(grid.active_voxels for grid in grids)
        back = rates.dense(VdbReader(decoded).read(0).tree, density.box)[0]
        pictures = measures.t_psnr(density.values[..., 0], back[..., 0], density.active)
        after = render(case, decoded, picture)
        body.append([name, preset, bits, *(f"{x:.1f}" for x in pictures), *difference(before, after)])
        if preset == "production" and case.shown:
            strip(before, after).save(output / f"{name}.png", optimize=True)
    return [[*cells[:-2], f"{cells[-2]:.1f}", f"{cells[-1]:.1f}"] for cells in body]


def main() -> None:
    """Renders what is there and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/results"))
    parser.add_argument("--cases", default=",".join(CASES), help="names, separated by commas (default: all)")
    args = parser.parse_args()
    body = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.cases.split(","):
            body += measure(name, CASES[name], args.data, args.output, Path(folder))
    head = ["case", "preset", "bit/voxel", "T-PSNR 1", "8", "50", "picture PSNR", "largest local difference"]
    kinds = (("fog", "fog"), ("flame", "temperature"))
    steps = "; ".join(
        f"{name} "
        + ", ".join(f"{text} step {getattr(p, kind).step:g} knee {getattr(p, kind).knee:g}" for kind, text in kinds)
        for name, p in PRESETS.items()
    )
    title = "# Presets by rendering\n\n`python -P tests/benchmarks/pictures.py DATA`\n\n"
    text = f"{title}Presets (shares of the range): {steps}.\n\n{RULES}\n{table(head, body)}"
    print(text)
    (args.output / "presets.md").write_text(text)


if __name__ == "__main__":
    main()
