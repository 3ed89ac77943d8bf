"""Bits per active voxel against PSNR and T-PSNR: neuralvdb, SZ3, SPERR, ZFP, NanoVDB and OpenVDB, tables and plots.

    python -P tests/benchmarks/rates.py FILE... [--grids density,velocity] [-o data/results] [--peers-only] [--settings]

Writes rates.md, rates.png and peers.json, which keeps what was measured of the others: later runs measure only what is
new.
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
from neuralvdb.codec.guarantee import preset_promise
from neuralvdb.presets import MeanQuality
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.vdb import VdbReader, describe_metadata
from neuralvdb.volume import Storage, Tree, VolumeGrid
from neuralvdb.volume.lookup import bricks_at

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import measures
import peers
import rate_plots
import rate_tables
from peers import KNEE, Coded

BOUNDS = (0.03, 0.018, 0.01, 0.0055, 0.003, 0.0018, 0.001)  # of ours, maximum error as a share of the active range
STEPS = (0.032, 0.016, 0.01, 0.0065, 0.004, 0.0025, 0.0016, 0.001, 0.0005)  # of the mean lattice, likewise
TOLERANCE_KNEE = 0.03  # of the active range: where tolerances begin to grow with the value
BOX_LIMIT = 1 << 28  # voxels of a bounding box, as float32 and a few copies
KEPT = ("bits", "psnr", "max_error", "t_psnr", "encode_s", "decode_s")

Box = tuple[np.ndarray, np.ndarray]  # index-space corners, the second one exclusive


def code_ours(grid: VolumeGrid, relative_bound: float) -> tuple[int, VolumeGrid]:
    """Bytes of the values as an archive holds them, tiles and inactive values too, and the decoded grid."""
    bound = (Bound(value=relative_bound, relative=True),)
    coded = encode_values(grid, CompressSettings(bounds=bound))
    return coded.size, replace(grid, tree=coded.tree)


def code_tolerance(grid: VolumeGrid, relative_bound: float) -> tuple[int, VolumeGrid]:
    """The same under a tolerance whose ratio is 18 times the bound."""
    ratio = 18 * relative_bound
    bound = (Bound(value=TOLERANCE_KNEE * ratio, relative=True, ratio=ratio),)
    coded = encode_values(grid, CompressSettings(bounds=bound))
    return coded.size, replace(grid, tree=coded.tree)


def code_quality(grid: VolumeGrid, step: float) -> tuple[int, VolumeGrid]:
    """The same on the mean lattice, as the presets do it: a step as a share of the active range, the presets' knee."""
    promise = preset_promise(grid, MeanQuality(step=step, knee=KNEE))
    coded = encoder.encode(grid.tree, promise)
    return coded.size, replace(grid, tree=coded.tree)


@dataclass(frozen=True)
class Ours:
    """A way of ours to code a grid: its settings, and code(grid, setting) -> bytes, decoded grid."""

    settings: tuple[float, ...]
    code: Callable[[VolumeGrid, float], tuple[int, VolumeGrid]]
    fog_only: bool


WAYS = (
    Ours(BOUNDS, code_ours, fog_only=False),
    Ours(BOUNDS, code_tolerance, fog_only=True),
    Ours(STEPS, code_quality, fog_only=True),
)


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

    def assemble(blocks: np.ndarray) -> np.ndarray:
        cells = blocks.reshape(*count, 8, 8, 8, -1).transpose(0, 3, 1, 4, 2, 5, 6)
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
        "voxels": int(np.count_nonzero(m)),
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
        key = f"{volume.key}/{peer.key}/{setting:g}"
        if key not in cache:
            result = judge(volume, peer.name, setting, job())
            cache[key] = [result[name] for name in KEPT]
        voxels = int(np.count_nonzero(volume.active))
        head = {"volume": volume.name, "voxels": voxels, "coder": peer.name, "setting": setting}
        rows.append(head | dict(zip(KEPT, cache[key], strict=True)))
    return rows


def _sweep(coders: list) -> list[tuple]:
    return [(coder, setting) for coder in coders for setting in coder.settings]


def measure_ours(volume: Volume) -> list[dict]:
    """All rows of ours; the seconds of encoding include those of decoding."""
    rows = []
    for name, coder in zip(rate_tables.OURS, WAYS, strict=True):
        if coder.fog_only and not volume.fog:
            continue
        for setting in tqdm(coder.settings, desc=f"{volume.name}, {name}", unit="setting", leave=False):
            began = time.perf_counter()
            nbytes, decoded = coder.code(volume.grid, setting)
            rows.append(judge(volume, name, setting, Coded(nbytes, decoded, time.perf_counter() - began, math.nan)))
    return rows


def save(store: Path, cache: dict) -> None:
    """Writes the cache, one measurement a line."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(result)}" for key, result in sorted(cache["rows"].items()))
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
    text = rate_tables.report(by_volume, args.settings)
    print(text)
    (args.output / "rates.md").write_text(text)
    if not args.peers_only:
        rate_plots.plot(by_volume, args.output / "rates.png")


if __name__ == "__main__":
    main()
