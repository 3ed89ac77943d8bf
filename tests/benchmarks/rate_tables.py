"""The tables of rates.py: curves, BD-rates and rates at equal pictures, from rows of measurements."""

import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import measures
import peers

QUOTED = (0.03, 0.01, 0.003, 0.001)  # bounds at whose PSNR the classical coders' best rate is printed
T_LEVELS = (30, 35, 40, 45)  # dB of T-PSNR at depth 8 for the tables of equal pictures
T_RANGE = (20.0, 50.0)  # dB of T-PSNR at depth 8 for BD-rates
LARGE = 100_000  # active voxels of a fog volume that counts for the means of the table of shares
EXACT = 200.0  # dB that a coder without any error is given in the curves
ENVELOPES = {  # the lowest of several coders at each quality
    "best of SZ3, SPERR": ("SZ3", "SPERR", "SPERR psnr"),
    "SPERR companded": ("SPERR asinh", "SPERR psnr asinh"),
}
BEST, COMPANDED = ENVELOPES
OURS = ("neuralvdb", "neuralvdb tolerance", "neuralvdb quality")
PICTURES = OURS[2]


def curve(rows: list[dict], coder: str, quality: str = "psnr") -> tuple[list[float], list[float]]:
    """Rates and qualities of a coder or one of ENVELOPES on one volume; quality psnr or t_psnr (depth 8)."""
    if coder in ENVELOPES:
        return measures.envelope([curve(rows, name, quality) for name in ENVELOPES[coder]])
    of_coder = [result for result in rows if result["coder"] == coder]
    graded = [result for result in of_coder if result["psnr"] is not None]
    lossy = [(result["bits"], result["psnr"] if quality == "psnr" else result["t_psnr"][1]) for result in graded]
    exact = min((result["bits"] for result in of_coder if result["psnr"] is None), default=None)
    if exact:  # serves any quality above the best lossy setting: a step up to it, then flat
        lossy += [(exact * (1 - 1e-9), max((q for r, q in lossy if r < exact), default=0) + 0.01), (exact, EXACT)]
    return [r for r, _ in lossy], [q for _, q in lossy]


def _reach(rows: list[dict]) -> tuple[float, float]:
    """The PSNR between the quoted bounds, of ours where it was measured, else of SZ3."""
    coder = next((name for name in OURS if any(result["coder"] == name for result in rows)), "SZ3")
    at = {result["setting"]: result["psnr"] or EXACT for result in rows if result["coder"] == coder}
    return at[max(QUOTED)], at[min(QUOTED)]


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table; floats with three digits behind the point or as many as they need."""

    def text(x: object) -> str:
        return ("-" if math.isnan(x) else f"{x:.3f}") if isinstance(x, float) else str(x)

    lines = [head, ["---", *["---:"] * (len(head) - 1)], *[list(map(text, cells)) for cells in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def settings_table(rows: list[dict]) -> str:
    """Every setting of every coder on one volume."""
    head = ["coder", "setting", "bit/voxel", "PSNR", "max error", "T-PSNR 1", "8", "50", "encode s", "decode s"]
    body = []
    for result in rows:
        psnr = "exact" if result["psnr"] is None else f"{result['psnr']:.2f}"
        pictures = [f"{x:.1f}" for x in result["t_psnr"] or ()] or ["-"] * 3
        figures = [
            result["bits"],
            psnr,
            f"{result['max_error']:.3g}",
            *pictures,
            result["encode_s"],
            result["decode_s"],
        ]
        body.append([result["coder"], f"{result['setting']:g}", *figures])
    return table(head, body)


def quoted_table(by_volume: dict[str, list[dict]]) -> str:
    """Best rate of the classical coders at the PSNR that SZ3 has at the quoted bounds."""
    body = []
    for volume, rows in by_volume.items():
        at = {result["setting"]: result["psnr"] for result in rows if result["coder"] == "SZ3"}
        best = curve(rows, BEST)
        body.append([volume, *(f"{float(measures.rate_at(*best, at[b])):.3f} at {at[b]:.1f} dB" for b in QUOTED)])
    return table(["volume", *(f"bound {b}" for b in QUOTED)], body)


def bd_table(by_volume: dict[str, list[dict]], quality: str) -> str:
    """BD-rate in percent of every coder against BEST; negative is better than both SZ3 and SPERR."""
    coders, body = swept(by_volume), []
    for volume, rows in by_volume.items():
        if quality == "psnr" or rows[0]["t_psnr"]:
            low, high = _reach(rows) if quality == "psnr" else T_RANGE
            best = curve(rows, BEST, quality)
            numbers = [measures.bd_rate(*curve(rows, coder, quality), *best, (low, high)) for coder in coders]
            body.append([volume, f"{low:.1f} to {high:.1f}", *numbers])
    if not body:
        return "No such volume.\n"
    columns = list(zip(*(cells[2:] for cells in body), strict=True))
    body.append(["mean", "", *map(_mean, columns)])
    text = [[*cells[:2], *(f"{x:+.1f}" if x == x else "-" for x in cells[2:])] for cells in body]
    return table(["volume", "dB", *coders], text)


def equal_picture_table(by_volume: dict[str, list[dict]]) -> str:
    """Rates at equal T-PSNR, depth 8, of fog-like volumes."""
    coders, body = swept(by_volume), []
    for volume, rows in by_volume.items():
        for level in T_LEVELS if rows[0]["t_psnr"] else ():
            rates = [float(measures.rate_at(*curve(rows, c, "t_psnr"), level)) for c in [*ENVELOPES, *coders]]
            body.append([volume, level, *rates])
    return table(["volume", "dB", *ENVELOPES, *coders], body)


def share_table(by_volume: dict[str, list[dict]], other: str) -> str:
    """Rates of PICTURES at equal T-PSNR (depth 8) in percent of those of `other`; means over the large volumes."""
    body, counted = [], []
    for volume, rows in by_volume.items():
        if not rows[0]["t_psnr"]:
            continue
        pairs = [[float(measures.rate_at(*curve(rows, c, "t_psnr"), q)) for q in T_LEVELS] for c in (PICTURES, other)]
        shares = [100 * a / b for a, b in zip(*pairs, strict=True)]
        body.append([volume, rows[0]["voxels"], *shares, _mean(shares)])
        if rows[0]["voxels"] > LARGE:
            counted.append(body[-1][2:])
    if not body:
        return "No such volume.\n"
    if counted:
        body.append([f"mean of those over {LARGE:,} voxels", "", *map(_mean, zip(*counted, strict=True))])
    text = [[*cells[:2], *("-" if math.isnan(x) else f"{x:.0f} %" for x in cells[2:])] for cells in body]
    return table(["volume", "active voxels", *(f"{q} dB" for q in T_LEVELS), "mean"], text)


def _mean(numbers: Iterable[float]) -> float:
    """Of those that are numbers; NaN where there are none."""
    return float(np.mean([x for x in numbers if not math.isnan(x)] or [math.nan]))


def single_table(by_volume: dict[str, list[dict]]) -> str:
    """The coders with one setting, as they are."""
    many, body = swept(by_volume), []
    for volume, rows in by_volume.items():
        for result in rows:
            if result["coder"] not in many:
                psnr = "exact" if result["psnr"] is None else f"{result['psnr']:.2f}"
                pictures = [f"{x:.1f}" for x in result["t_psnr"] or ()] or ["-"] * 3
                body.append([volume, result["coder"], result["bits"], psnr, f"{result['max_error']:.2g}", *pictures])
    return table(["volume", "coder", "bit/voxel", "PSNR", "max error", "T-PSNR 1", "8", "50"], body)


def swept(by_volume: dict[str, list[dict]]) -> list[str]:
    """Names of the coders with more than one setting."""
    pairs = {(result["coder"], result["setting"]): None for rows in by_volume.values() for result in rows}
    names = [coder for coder, _ in pairs]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def report(by_volume: dict[str, list[dict]], all_settings: bool) -> str:
    """The tables as Markdown; every setting of two of ours, or of all."""
    made = ", ".join(f"{name} {number}" for name, number in peers.versions().items())
    paragraphs = [
        "# Rates of value codecs\n",
        f"`python -P tests/benchmarks/rates.py FILE...` with {made}.\n",
        peers.RULES,
    ]
    paragraphs += [f"## {BEST}, bit per active voxel, at the PSNR of SZ3 at a bound\n", quoted_table(by_volume)]
    paragraphs += [f"## BD-rate (PSNR) in percent against the {BEST}\n", bd_table(by_volume, "psnr")]
    paragraphs += [f"## BD-rate (T-PSNR at depth 8) in percent against the {BEST}\n", bd_table(by_volume, "t_psnr")]
    paragraphs += ["## Bit per active voxel at equal T-PSNR, depth 8\n", equal_picture_table(by_volume)]
    for other in ENVELOPES:
        paragraphs += [
            f"## {PICTURES} in percent of {other}, at equal T-PSNR, depth 8\n",
            share_table(by_volume, other),
        ]
    paragraphs += ["## Coders with one setting\n", single_table(by_volume)]
    for volume, rows in by_volume.items():
        shown = [result for result in rows if all_settings or result["coder"] in (OURS[0], PICTURES)]
        paragraphs += [f"## {volume}\n", settings_table(shown)] if shown else []
    return "\n".join(paragraphs)
