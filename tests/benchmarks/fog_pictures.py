"""What pictures the presets reach on fog, and in how many bytes, beside steps that are fixed shares of the range.

    python -P tests/benchmarks/fog_pictures.py [DATA] [-o data/results]

DATA: the folder of real volumes. Writes presets-fog.md. Of a sequence the first and the last frame count.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neuralvdb.codec.guarantee import promise_for
from neuralvdb.picture import t_psnr
from neuralvdb.settings import CompressSettings
from neuralvdb.values import EncodeContext, Promise, choose_values
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("clouds", "hosts", "openvdb-models", "sequence-*")
PRESETS = ("preview", "production", "master")
TOLD = """\
- T-PSNR: of transmittance images at a median optical depth of 8, in dB. Values: bytes of VALS and TILE.
- fixed: the step that presets.toml says. picture: the step that the promised picture needs, at most 1.42 times that.
- Left out: grids without a picture to promise (signed ones), and copies (color_g, color_b, *_inflow).
"""


@dataclass(frozen=True)
class Outcome:
    """Bytes, T-PSNR in dB and CPU seconds of values."""

    size: int
    picture: float
    seconds: float


def sources(data: Path) -> list[Path]:
    """The files: of a sequence the first and the last one."""
    files = []
    for pattern in FOLDERS:
        for folder in sorted(data.glob(pattern)):
            frames = sorted(folder.glob("*.vdb"))
            files += [frames[0], frames[-1]] if folder.name.startswith("sequence") else frames
    return [*files, *sorted((ROOT / "data" / "sample").glob("*.vdb"))]


def encoded(grid: VolumeGrid, promise: Promise, settings: CompressSettings) -> Outcome:
    """What becomes of a grid."""
    begin = time.process_time()
    coded = choose_values(grid.tree, promise, EncodeContext.of(settings))
    seconds = time.process_time() - begin
    return Outcome(coded.size, t_psnr(grid.tree, coded.tree), seconds)


def compared(grid: VolumeGrid, settings: CompressSettings) -> tuple[Outcome, Outcome] | None:
    """With a fixed step, and with one for the promised picture; None where none is promised."""
    promise = promise_for(grid, settings)
    if promise is None or not promise.bound.picture:
        return None
    fixed = replace(promise, bound=replace(promise.bound, picture=0.0))
    return encoded(grid, fixed, settings), encoded(grid, promise, settings)


def summary(outcomes: dict[str, list[tuple[Outcome, Outcome]]]) -> str:
    """Bytes and time together, and by how much pictures are better than promised."""
    lines = []
    for name, pairs in outcomes.items():
        least = CompressSettings(quality=name).preset.fog.picture
        sizes, seconds = ([sum(getattr(pair[i], key) for pair in pairs) for i in (0, 1)] for key in ("size", "seconds"))
        above = np.array([searched.picture - least for _, searched in pairs])
        before = np.array([fixed.picture for fixed, _ in pairs])
        lines.append(
            f"- {name}, {least:g} dB: fixed {before.min():.1f} to {before.max():.1f} dB; picture {above.min():.2f} dB "
            f"above or more, median {np.median(above):.2f}; bytes {sizes[1] / sizes[0] - 1:+.1%}, "
            f"CPU {seconds[1] / seconds[0]:.2f}x"
        )
    return "\n".join(lines)


def main() -> None:
    """Encodes what is there and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/results"))
    args = parser.parse_args()
    body = [["grid", "preset", "T-PSNR, fixed", "picture", "values, fixed", "picture"], ["---", *["---:"] * 5]]
    outcomes: dict[str, list[tuple[Outcome, Outcome]]] = {name: [] for name in PRESETS}
    for path in tqdm(sources(args.data), unit="file"):
        for grid in VdbReader(path):
            if grid.tree is None or grid.name in ("color_g", "color_b") or grid.name.endswith("_inflow"):
                continue
            for name in PRESETS:
                pair = compared(grid, CompressSettings(quality=name, threads=1))
                if pair is not None:
                    outcomes[name].append(pair)
                    cells = [f"{pair[0].picture:.1f}", f"{pair[1].picture:.1f}", str(pair[0].size), str(pair[1].size)]
                    body.append([f"{path.parent.name}/{path.stem} {grid.name}", name, *cells])
    title = "# Pictures of fog\n\n`python -P tests/benchmarks/fog_pictures.py DATA`\n\n"
    text = f"{title}{TOLD}{summary(outcomes)}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in body)
    print(text)
    (args.output / "presets-fog.md").write_text(text)


if __name__ == "__main__":
    main()
