"""Bits per active voxel against PSNR and T-PSNR: neuralvdb, SZ3, SPERR, ZFP, NanoVDB and OpenVDB, as tables.

    python -P tests/benchmarks/rates.py FILE... [--grids density,velocity] [-o data/results] [--peers-only] [--settings]

Writes rates.md and peers.json, which keeps what was measured of the others: later runs measure only what is new.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xxhash
from tqdm import tqdm

from neuralvdb.codec.encode import encode_values
from neuralvdb.settings import Bound, Settings
from neuralvdb.volume import Storage, Tree, VdbReader, VolumeGrid, describe_metadata
from neuralvdb.volume.lookup import bricks_at

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import measures
import peers
from peers import Coded

BOUNDS = (0.03, 0.018, 0.01, 0.0055, 0.003, 0.0018, 0.001)  # of ours, maximum error as a share of the active range
QUOTED = (0.03, 0.01, 0.003, 0.001)  # bounds at whose PSNR the classical coders' best rate is printed
T_LEVELS = (30, 35, 40, 45)  # dB of T-PSNR at depth 8 for the table of equal pictures
T_RANGE = (20.0, 50.0)  # dB of T-PSNR at depth 8 for BD-rates
BOX_LIMIT = 1 << 28  # voxels of a bounding box, as float32 and a few copies
EXACT = 200.0  # dB that a coder without any error is given in the curves
BEST = "best of SZ3, SPERR"
KEPT = ("bits", "psnr", "max_error", "t_psnr", "encode_s", "decode_s")
CLASSIC = ("SZ3", "SPERR", "SPERR psnr")

Box = tuple[np.ndarray, np.ndarray]  # index-space corners, the second one exclusive


def code_ours(grid: VolumeGrid, relative_bound: float) -> tuple[int, VolumeGrid]:
    """Bytes of the values as an archive holds them, tiles and inactive values too, and the decoded grid."""
    bound = (Bound(relative_bound, relative=True),)
    coded = encode_values(grid, Settings(bounds=bound))
    return coded.size, replace(grid, tree=coded.tree)


def code_tolerance(grid: VolumeGrid, relative_bound: float) -> tuple[int, VolumeGrid]:
    """The same under a tolerance whose ratio is 18 times the bound and whose knee is 3 % of the active range."""
    ratio = 18 * relative_bound
    bound = (Bound(KNEE * ratio, relative=True, ratio=ratio),)
    coded = encode_values(grid, Settings(bounds=bound))
    return coded.size, replace(grid, tree=coded.tree)


KNEE = 0.03
OURS: dict[str, Callable[[VolumeGrid, float], tuple[int, VolumeGrid]]] = {
    "neuralvdb": code_ours,
    "neuralvdb tolerance": code_tolerance,
}


@dataclass(frozen=True)
class Volume:
    """A grid and its dense box. values (X, Y, Z, C) float32; active (X, Y, Z) bool; key: file hash and grid name."""

    name: str
    key: str
    grid: VolumeGrid
    box: Box
    values: np.ndarray
    active: np.ndarray
    fog: bool


def dense(tree: Tree, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Values (X, Y, Z, C) float32 and active (X, Y, Z) of a box; leaves, tiles and background alike."""
    low, high = box
    start, count = low // 8 * 8, -(-high // 8) - low // 8
    bricks = np.stack(np.meshgrid(*map(np.arange, count), indexing="ij"), axis=-1).reshape(-1, 3) * 8 + start
    cut = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))

    def assemble(parts: np.ndarray) -> np.ndarray:
        cells = parts.reshape(*count, 8, 8, 8, -1).transpose(0, 3, 1, 4, 2, 5, 6)
        return np.ascontiguousarray(cells.reshape(*(count * 8), -1)[cut])

    values, active = bricks_at(tree, bricks.astype(np.int32))
    return assemble(values).astype(np.float32), assemble(active)[..., 0]


def load(path: Path, wanted: set[str]) -> Iterator[Volume]:
    """The float and vector grids of a file, all or those named, whose box is of bearable size."""
    reader, digest = VdbReader(path), xxhash.xxh3_64_hexdigest(path.read_bytes())
    for index, entry in enumerate(reader.entries):
        corners = reader.outline(index).active_bbox
        if (wanted and entry.name not in wanted) or corners is None:
            continue
        box = np.array(corners[0]), np.array(corners[1]) + 1
        grid = reader.read(index)
        if grid.storage is not Storage.TREE or math.prod((box[1] - box[0]).tolist()) > BOX_LIMIT:
            print(f"{path}: {entry.name}: left out: not a float grid or too large", file=sys.stderr)
            continue
        yield _volume(f"{path.parent.name}/{path.stem} {entry.name}", f"{digest}/{entry.name}", grid, box)


def _volume(name: str, key: str, grid: VolumeGrid, box: Box) -> Volume:
    values, active = dense(grid.tree, box)
    level_set = describe_metadata(grid.metadata).get("class", ("", ""))[1] == "level set"
    background = np.atleast_1d(grid.tree.root.background).astype(np.float32)
    if level_set:
        values = values.clip(-abs(background), abs(background))
    else:
        values[~active] = background
    if not np.isfinite(values).all() or np.ptp(values[active]) == 0:
        raise SystemExit(f"{name}: infinite, NaN or constant: no bound to sweep; leave it out with --grids")
    fog = values.shape[-1] == 1 and not level_set and float(values[active].min()) >= 0
    return Volume(name, key, grid, box, values, active, fog)


def judge(volume: Volume, coder: str, setting: float, coded: Coded) -> dict:
    """One row of the tables; max_error as a share of the active range, psnr None where nothing differs."""
    v, m = volume.values, volume.active
    r = dense(coded.decoded.tree, volume.box)[0] if isinstance(coded.decoded, VolumeGrid) else coded.decoded
    t = measures.t_psnr(v[..., 0], r[..., 0], m) if volume.fog else None
    psnr = measures.psnr(v, r, m)
    return {
        "volume": volume.name,
        "coder": coder,
        "setting": setting,
        "bits": round(8 * coded.nbytes / np.count_nonzero(m), 5),
        "psnr": round(psnr, 3) if math.isfinite(psnr) else None,
        "max_error": float(f"{measures.max_error(v, r, m) / span(volume):.4g}"),
        "t_psnr": t and [round(x, 3) for x in t],
        "encode_s": round(coded.encode_s, 4),
        "decode_s": round(coded.decode_s, 4),
    }


def span(volume: Volume) -> float:
    """The active range: max - min, over all components."""
    return float(np.ptp(volume.values[volume.active]))


def measure_peers(volume: Volume, cache: dict[str, list]) -> list[dict]:
    """All rows of the other coders, from the cache where they are in it."""
    arrays, grids = peers.array_peers(volume.fog), peers.grid_peers(volume.values.shape[-1] == 1)
    jobs = [(p, s, lambda p=p, s=s: p.code(volume.values, volume.active, s)) for p, s in _sweep(arrays)]
    jobs += [(p, s, lambda p=p, s=s: p.code(volume.grid, s * span(volume))) for p, s in _sweep(grids)]
    rows = []
    for peer, setting, job in tqdm(jobs, desc=volume.name, unit="setting", leave=False):
        key = f"{volume.key}/{peer.name}/{setting:g}"
        if key not in cache:
            row = judge(volume, peer.name, setting, job())
            cache[key] = [row[name] for name in KEPT]
        head = {"volume": volume.name, "coder": peer.name, "setting": setting}
        rows.append(head | dict(zip(KEPT, cache[key], strict=True)))
    return rows


def _sweep(coders: list) -> list[tuple]:
    return [(coder, setting) for coder in coders for setting in coder.settings]


def measure_ours(volume: Volume) -> list[dict]:
    """All rows of ours; the seconds of encoding include those of decoding."""
    rows = []
    for name, code in OURS.items():
        if code is code_tolerance and not volume.fog:
            continue
        for bound in tqdm(BOUNDS, desc=f"{volume.name}, {name}", unit="setting", leave=False):
            began = time.perf_counter()
            nbytes, decoded = code(volume.grid, bound)
            rows.append(judge(volume, name, bound, Coded(nbytes, decoded, time.perf_counter() - began, math.nan)))
    return rows


def curve(rows: list[dict], coder: str, quality: str = "psnr") -> tuple[list[float], list[float]]:
    """Rates and qualities of a coder on one volume; quality psnr or t_psnr (depth 8); BEST is the lowest of CLASSIC."""
    if coder == BEST:
        return measures.envelope([curve(rows, name, quality) for name in CLASSIC])
    mine = [row for row in rows if row["coder"] == coder]
    graded = [row for row in mine if row["psnr"] is not None]
    lossy = [(row["bits"], row["psnr"] if quality == "psnr" else row["t_psnr"][1]) for row in graded]
    exact = min((row["bits"] for row in mine if row["psnr"] is None), default=None)
    if exact:  # serves any quality above the best lossy setting: a step up to it, then flat
        lossy += [(exact * (1 - 1e-9), max((q for r, q in lossy if r < exact), default=0) + 0.01), (exact, EXACT)]
    return [r for r, _ in lossy], [q for _, q in lossy]


def reach(rows: list[dict]) -> tuple[float, float]:
    """The PSNR between the quoted bounds, of ours where it was measured, else of SZ3."""
    coder = next((name for name in OURS if any(row["coder"] == name for row in rows)), "SZ3")
    at = {row["setting"]: row["psnr"] or EXACT for row in rows if row["coder"] == coder}
    return at[max(QUOTED)], at[min(QUOTED)]


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table; floats with three digits behind the point or as many as they need."""

    def text(x: object) -> str:
        return ("-" if math.isnan(x) else f"{x:.3f}") if isinstance(x, float) else str(x)

    lines = [head, ["---", *["---:"] * (len(head) - 1)], *[list(map(text, row)) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def settings_table(rows: list[dict]) -> str:
    """Every setting of every coder on one volume."""
    head = ["coder", "setting", "bit/voxel", "PSNR", "max error", "T-PSNR 1", "8", "50", "encode s", "decode s"]
    body = []
    for row in rows:
        psnr = "exact" if row["psnr"] is None else f"{row['psnr']:.2f}"
        pictures = [f"{x:.1f}" for x in row["t_psnr"] or ()] or ["-"] * 3
        figures = [row["bits"], psnr, f"{row['max_error']:.3g}", *pictures, row["encode_s"], row["decode_s"]]
        body.append([row["coder"], f"{row['setting']:g}", *figures])
    return table(head, body)


def quoted_table(by_volume: dict[str, list[dict]]) -> str:
    """Best rate of the classical coders at the PSNR that SZ3 has at the quoted bounds."""
    body = []
    for volume, rows in by_volume.items():
        at = {row["setting"]: row["psnr"] for row in rows if row["coder"] == "SZ3"}
        best = curve(rows, BEST)
        body.append([volume, *(f"{float(measures.rate_at(*best, at[b])):.3f} at {at[b]:.1f} dB" for b in QUOTED)])
    return table(["volume", *(f"bound {b}" for b in QUOTED)], body)


def bd_table(by_volume: dict[str, list[dict]], quality: str) -> str:
    """BD-rate in percent of every coder against BEST; negative is better than both SZ3 and SPERR."""
    coders, body = swept(by_volume), []
    for volume, rows in by_volume.items():
        if quality == "psnr" or rows[0]["t_psnr"]:
            low, high = reach(rows) if quality == "psnr" else T_RANGE
            best = curve(rows, BEST, quality)
            numbers = [measures.bd_rate(*curve(rows, coder, quality), *best, (low, high)) for coder in coders]
            body.append([volume, f"{low:.1f} to {high:.1f}", *numbers])
    if not body:
        return "No such volume.\n"
    columns = list(zip(*(row[2:] for row in body), strict=True))
    means = [float(np.mean([x for x in column if x == x] or [math.nan])) for column in columns]
    body.append(["mean", "", *means])
    text = [[*row[:2], *(f"{x:+.1f}" if x == x else "-" for x in row[2:])] for row in body]
    return table(["volume", "dB", *coders], text)


def equal_picture_table(by_volume: dict[str, list[dict]]) -> str:
    """Rates at equal T-PSNR, depth 8, of fog-like volumes."""
    coders, body = swept(by_volume), []
    for volume, rows in by_volume.items():
        for level in T_LEVELS if rows[0]["t_psnr"] else ():
            rates = [float(measures.rate_at(*curve(rows, c, "t_psnr"), level)) for c in [BEST, *coders]]
            body.append([volume, level, *rates])
    return table(["volume", "dB", BEST, *coders], body)


def swept(by_volume: dict[str, list[dict]]) -> list[str]:
    """Names of the coders with more than one setting."""
    pairs = {(row["coder"], row["setting"]): None for rows in by_volume.values() for row in rows}
    names = [coder for coder, _ in pairs]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def report(by_volume: dict[str, list[dict]], settings: bool) -> str:
    """The tables as Markdown; of the settings those of ours, or all."""
    made = ", ".join(f"{name} {number}" for name, number in peers.versions().items())
    parts = ["# Rates of value codecs\n", f"`python -P tests/benchmarks/rates.py FILE...` with {made}.\n", peers.RULES]
    parts += [f"## {BEST}, bit per active voxel, at the PSNR of SZ3 at a bound\n", quoted_table(by_volume)]
    parts += [f"## BD-rate (PSNR) in percent against the {BEST}\n", bd_table(by_volume, "psnr")]
    parts += [f"## BD-rate (T-PSNR at depth 8) in percent against the {BEST}\n", bd_table(by_volume, "t_psnr")]
    parts += ["## Bit per active voxel at equal T-PSNR, depth 8\n", equal_picture_table(by_volume)]
    for volume, rows in by_volume.items():
        shown = [row for row in rows if settings or row["coder"] in OURS]
        parts += [f"## {volume}\n", settings_table(shown)] if shown else []
    return "\n".join(parts)


def save(store: Path, cache: dict) -> None:
    """Writes the cache, one measurement a line."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in sorted(cache["rows"].items()))
    heads = "".join(f'"{name}": {json.dumps(cache[name])},\n' for name in ("versions", "columns"))
    store.write_text(f'{{\n{heads}"rows": {{\n{lines}\n}}}}\n')


def main() -> None:
    """Measures the files named and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--grids", default="", help="names, separated by commas (default: all)")
    parser.add_argument("-o", "--output", type=Path, default=Path("data/results"))
    parser.add_argument("--peers-only", action="store_true", help="measure the other coders only")
    parser.add_argument("--settings", action="store_true", help="every setting of every coder, not only of ours")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    store = args.output / "peers.json"
    cache = json.loads(store.read_text()) if store.exists() else {}
    cache = cache or {"versions": peers.versions(), "columns": KEPT, "rows": {}}
    if cache["versions"] != peers.versions():
        raise SystemExit(f"{store} was measured with {cache['versions']}: remove it to measure again")
    by_volume = {}
    for path in args.files:
        for volume in load(path, set(filter(None, args.grids.split(",")))):
            rows = [] if args.peers_only else measure_ours(volume)
            by_volume[volume.name] = rows + measure_peers(volume, cache["rows"])
            save(store, cache)
    text = report(by_volume, args.settings)
    print(text)
    (args.output / "rates.md").write_text(text)


if __name__ == "__main__":
    main()
