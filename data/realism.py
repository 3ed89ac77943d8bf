"""Compares generated volumes with real ones: spectra, gradients, thin edges, and bits per value at an error of 1 %.

python data/realism.py --real PATH... --generated PATH... [-o data/results]

PATH: a .vdb file or a folder of them. Writes realism.md and realism.png. Needs neuralvdb (installed) and matplotlib.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from tqdm import tqdm

from neuralvdb import CompressSettings, compress, info
from neuralvdb.settings import Bound
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import leaf_origins
from neuralvdb.volume.lookup import bricks_at

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SMALLEST, LARGEST_RANGE = 2000, 1e5  # active voxels and range of what training takes, too
SCALES = np.geomspace(0.03, 0.45, 13)  # cycles per voxel, borders of the shells of a spectrum
SHARES = np.geomspace(1e-5, 1, 51)  # borders of the gradients' histogram, shares of the range
NEAR = 0.01  # of the range: what is so close to the background is thin
FLAMES = ("flame", "fuel", "react", "temperature", "heat")
KINDS = ("fog", "flame", "velocity", "level set")


@dataclass(frozen=True)
class Measured:
    """A grid. power: mean power by shell of SCALES, NaN where a shell is empty; gradients: histogram over SHARES;
    levels: median, 90th and 99th percentile of the gradients, shares of the range."""

    file: str
    grid: str
    kind: str
    real: bool
    voxels: int
    power: np.ndarray
    gradients: np.ndarray
    levels: np.ndarray
    near: float
    bits: float

    @property
    def slope(self) -> float:
        """Of the logarithm of power over that of frequency."""
        finite = np.isfinite(self.power)
        return float(np.polyfit(np.log(_middles(SCALES))[finite], np.log(self.power[finite]), 1)[0])


def _middles(borders: np.ndarray) -> np.ndarray:
    return np.sqrt(borders[1:] * borders[:-1])


def dense(grid: VolumeGrid) -> tuple[np.ndarray, np.ndarray]:
    """Values (X, Y, Z, C) float64 and active (X, Y, Z) bool of the box that the leaves span."""
    origins = leaf_origins(grid.tree) // 8
    low = origins.min(0)
    size = origins.max(0) - low + 1
    bricks = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, 3)
    values, active = bricks_at(grid.tree, ((bricks + low) * 8).astype(np.int32))
    order = (0, 3, 1, 4, 2, 5)
    shape = (*size, 8, 8, 8)
    values = values.reshape(*shape, -1).transpose(*order, 6).reshape(*size * 8, -1)
    return values.astype(np.float64), active.reshape(shape).transpose(order).reshape(size * 8)


def spectrum(values: np.ndarray) -> np.ndarray:
    """(shells,) mean power of `values` (X, Y, Z, C) under a Hann window, by shell of SCALES."""
    shape = values.shape[:3]
    window = np.hanning(shape[0])[:, None, None] * np.hanning(shape[1])[:, None] * np.hanning(shape[2])
    power = sum(np.abs(np.fft.rfftn((v - v.mean()) * window)) ** 2 for v in np.moveaxis(values, -1, 0))
    axes = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    scale = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    counts = np.histogram(scale, SCALES)[0]
    sums = np.histogram(scale, SCALES, weights=power)[0]
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=(counts > 0) & (sums > 0))


def gradients(values: np.ndarray, active: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Differences of active neighbours along the axes, as shares of the span (C,) of each component."""
    steps = []
    for axis in range(3):
        below, above = np.delete(active, -1, axis), np.delete(active, 0, axis)
        steps.append((np.abs(np.diff(values, axis=axis)) / span)[below & above].ravel())
    return np.concatenate(steps)


def kind_of(grid_class: str, name: str, components: int) -> str:
    """One of KINDS."""
    if grid_class == "level set":
        return "level set"
    return "velocity" if components > 1 else "flame" if any(word in name for word in FLAMES) else "fog"


def measure(path: Path, real: bool, folder: Path, digests: set[bytes]) -> Iterator[Measured]:
    """Every grid of a file that training would take and that was not seen in another."""
    archive = folder / "measured.neuralvdb"
    compress(path, archive, CompressSettings(bounds=(Bound(value=0.01, relative=True),)))
    described = {grid.name: grid for grid in info(archive).grids}
    archive.unlink()
    for grid in VdbReader(path):
        if grid.tree is None or not len(grid.tree.leaf) or not grid.tree.leaf.active.any():
            continue
        values, active = dense(grid)
        key = hashlib.sha256(values[active].tobytes()).digest()
        span = np.ptp(values[active], axis=0)
        if active.sum() < SMALLEST or not (0 < span.max() < LARGEST_RANGE) or key in digests:
            continue
        digests.add(key)
        told, span = described[grid.name], np.maximum(span, 1e-30)
        steps = gradients(values, active, span)
        yield Measured(
            file=f"{path.parent.name}/{path.name}",
            grid=grid.name,
            kind=kind_of(told.grid_class, grid.name, values.shape[-1]),
            real=real,
            voxels=int(active.sum()),
            power=spectrum(values / span.max()),
            gradients=np.histogram(steps, SHARES)[0] / len(steps),
            levels=np.percentile(steps, (50, 90, 99)),
            near=float((np.abs(values - grid.tree.root.background)[active] < NEAR * span).mean()),
            bits=told.bytes.get("values", 0) * 8 / told.active_voxels / values.shape[-1],
        )


HEADER = "| {} | active voxels | slope of power | gradient, 50 % | 90 % | 99 % | near 0 | bit/value |\n"
RULE = "|---|---:|---:|---:|---:|---:|---:|---:|\n"


def table_row(label: str, measured: list[Measured]) -> str:
    """A row of the table: medians over the items."""
    slope, near, bits = (np.median([getattr(m, name) for m in measured]) for name in ("slope", "near", "bits"))
    levels = " | ".join(f"{100 * level:.2f}" for level in np.median([m.levels for m in measured], axis=0))
    voxels = int(np.median([m.voxels for m in measured]))
    return f"| {label} | {voxels:,} | {slope:.2f} | {levels} | {near:.0%} | {bits:.2f} |\n"


def report(measured: list[Measured]) -> str:
    """Markdown: medians by kind, then every grid."""
    text = "# How real the generated volumes are\n\n" + RULES + "\n" + HEADER.format("medians") + RULE
    for kind in KINDS:
        for real in (True, False):
            if items := [m for m in measured if m.kind == kind and m.real == real]:
                text += table_row(f"{kind}, {'real' if real else 'generated'} ({len(items)})", items)
    for real in (True, False):
        text += f"\n## {'Real' if real else 'Generated'}\n\n" + HEADER.format("file, grid") + RULE
        text += "".join(table_row(f"{m.file} {m.grid} ({m.kind})", [m]) for m in measured if m.real == real)
    return text


RULES = """\
Slope of power: of log power over log frequency, from 0.03 to 0.45 cycles per voxel, Hann window over the box of the
leaves. Gradients: differences of active neighbours along the axes in % of the active range. Near 0: active voxels
within 1 % of the range from the background. Bit/value: values at `--rel-error 1%`, lossless where that is smaller.
"""


def picture(measured: list[Measured], path: Path) -> None:
    """Spectra and histograms of gradients by kind: real in black, generated in orange."""
    figure, axes = plt.subplots(2, len(KINDS), figsize=(4 * len(KINDS), 7), layout="constrained")
    for column, kind in enumerate(KINDS):
        for m in (m for m in measured if m.kind == kind):
            style = {"color": "black" if m.real else "tab:orange", "alpha": 0.6, "linewidth": 1.2}
            axes[0, column].loglog(_middles(SCALES), m.power / np.nansum(m.power), **style)
            axes[1, column].semilogx(_middles(SHARES), m.gradients.cumsum() + (1 - m.gradients.sum()), **style)
        axes[0, column].xaxis.set_minor_formatter("")
        axes[0, column].set(title=kind, xlabel="cycles per voxel", ylabel="share of power")
        axes[1, column].set(xlabel="gradient / range", ylabel="share of pairs below", xlim=(1e-4, 1), ylim=(0, 1))
    figure.suptitle("real: black; generated: orange")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, nargs="+", required=True)
    parser.add_argument("--generated", type=Path, nargs="+", required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).resolve().parent / "results")
    args = parser.parse_args()
    paths = [
        (file, real)
        for real, given in ((True, args.real), (False, args.generated))
        for path in given
        for file in (sorted(path.rglob("*.vdb")) if path.is_dir() else [path])
    ]
    digests: set[bytes] = set()
    with tempfile.TemporaryDirectory() as folder:
        measured = [m for path, real in tqdm(paths, unit="file") for m in measure(path, real, Path(folder), digests)]
    (args.output / "realism.md").write_text(report(measured))
    picture(measured, args.output / "realism.png")


if __name__ == "__main__":
    main()
