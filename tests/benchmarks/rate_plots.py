"""The plots of rates.py: bits per active voxel against PSNR and T-PSNR."""

import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import measures
import rate_tables
from rate_tables import BEST, COMPANDED, EXACT, PICTURES

SHOWN = 4  # volumes: the fog volumes with the most voxels
REACH = (20, 60)  # dB
STYLES = {
    PICTURES: {"color": "#c0392b", "linewidth": 2.6, "label": "neuralvdb, quality presets"},
    "neuralvdb": {"color": "#e67e22", "linewidth": 2.0, "label": "neuralvdb, maximum error"},
    BEST: {"color": "#222222", "linewidth": 1.2, "label": "better of SZ3 and SPERR"},
    COMPANDED: {"color": "#222222", "linewidth": 1.2, "linestyle": "--", "label": "SPERR, companded"},
    "ZFP": {"color": "#2980b9", "linewidth": 1.2, "linestyle": "-.", "label": "ZFP"},
    "NanoVDB FpN": {"color": "#27ae60", "linewidth": 1.2, "linestyle": ":", "label": "NanoVDB FpN"},
}


def plot(by_volume: dict[str, list[dict]], picture: Path) -> None:
    """Writes a PNG with a column for each volume shown: PSNR above, T-PSNR at depth 8 below."""
    matplotlib.use("Agg")
    fog = [name for name, rows in by_volume.items() if rows[0]["t_psnr"]]
    fog = sorted(fog, key=lambda name: -by_volume[name][0]["voxels"])[:SHOWN]
    if not fog:
        return
    figure, axes = pyplot.subplots(2, len(fog), figsize=(3.1 * len(fog), 6), sharey="row", squeeze=False)
    for column, name in enumerate(fog):
        for line, (quality, label) in enumerate((("psnr", "PSNR, dB"), ("t_psnr", "T-PSNR at depth 8, dB"))):
            _curves(axes[line, column], by_volume[name], quality)
            if not column:
                axes[line, column].set_ylabel(label)
        axes[0, column].set_title(name.partition("/")[2].rpartition(" ")[0], fontsize=10)
        axes[1, column].set_xlabel("bit per active voxel")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(picture, dpi=80, metadata={"Software": None})
    pyplot.close(figure)
    with Image.open(picture) as image:
        image.convert("RGB").quantize(64).save(picture, optimize=True)


def _curves(axes: Axes, rows: list[dict], quality: str) -> None:
    for coder, style in STYLES.items():
        rates, decibels = measures.frontier(*rate_tables.curve(rows, coder, quality))
        shown = (decibels < EXACT / 2) & (decibels >= REACH[0])
        axes.plot(rates[shown], decibels[shown], **style)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1 / 8, 8)
    axes.set_xticks([1 / 8, 1 / 2, 2, 8], ["1/8", "1/2", "2", "8"])
    axes.set_ylim(*REACH)
    axes.grid(True, color="#dddddd", linewidth=0.6)
