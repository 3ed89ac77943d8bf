"""Lossless library codecs on real active values: sizes behind the choice in neuralvdb/archive/streams.py.

python -P tests/benchmarks/codecs.py FILE... [-o data/results/lossless_codecs.md]

Needs the extra `bench`. Values are the active voxels of all leaves, component by component, in the narrowest float type
that holds them, as archives store them. `3D delta` takes differences along x, y and z inside each leaf first.
"""

import argparse
import time
from pathlib import Path

import blosc2
import numpy as np
import zstandard
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, standalone
from tqdm import tqdm

from neuralvdb.archive import FieldWriter, put_array
from neuralvdb.vdb import VdbReader
from neuralvdb.volume.grid import unpack


def chosen_size(values: np.ndarray, _: np.ndarray) -> int:
    """What archives take: the best of zstd, zstd of byte planes and pcodec on a sample."""
    out = FieldWriter()
    put_array(out, values)
    return len(out.getvalue())


def zstd(level: int, planes: bool):
    """zstd of the values, or of their byte planes."""

    def code(values: np.ndarray, _: np.ndarray) -> int:
        raw = values.view(np.uint8).reshape(-1, values.itemsize)
        return len(zstandard.compress((raw.T if planes else raw).tobytes(), level))

    return code


def blosc(shuffle: blosc2.Filter, codec: blosc2.Codec):
    """blosc2 at level 5 with a shuffle filter."""

    def code(values: np.ndarray, _: np.ndarray) -> int:
        return len(blosc2.compress2(values, codec=codec, clevel=5, filters=[shuffle], typesize=values.itemsize))

    return code


def pcodec(values: np.ndarray, _: np.ndarray) -> int:
    """pcodec with its default settings."""
    return len(standalone.simple_compress(values, ChunkConfig()))


def delta_pcodec(_: np.ndarray, deltas: np.ndarray) -> int:
    """pcodec of the 3D deltas."""
    config = ChunkConfig(delta_spec=DeltaSpec.no_op(), mode_spec=ModeSpec.classic())
    return len(standalone.simple_compress(deltas, config))


CODECS = {
    "zstd 9": zstd(9, planes=False),
    "zstd 9, byte planes": zstd(9, planes=True),
    "zstd 19, byte planes": zstd(19, planes=True),
    "blosc2 lz4, byte shuffle": blosc(blosc2.Filter.SHUFFLE, blosc2.Codec.LZ4),
    "blosc2 zstd, byte shuffle": blosc(blosc2.Filter.SHUFFLE, blosc2.Codec.ZSTD),
    "blosc2 zstd, bit shuffle": blosc(blosc2.Filter.BITSHUFFLE, blosc2.Codec.ZSTD),
    "pcodec": pcodec,
    "3D delta, pcodec": delta_pcodec,
    "chosen": chosen_size,
}


def value_arrays(path: Path):
    """(values, deltas) of every component of every grid: active values in order, and their 3D deltas as integers."""
    for grid in VdbReader(path):
        if grid.tree is None or not len(grid.tree.leaf):
            continue
        active = unpack(grid.tree.leaf.active)
        values = grid.tree.leaf.values.reshape(len(active), 512, -1)
        for component in np.moveaxis(values, 2, 0):
            narrow = component.astype(np.float16)
            exact = np.array_equal(narrow.astype(component.dtype).view(np.uint8), component.copy().view(np.uint8))
            component = narrow if exact else np.ascontiguousarray(component)
            yield component[active], deltas_of(component)[active]


def deltas_of(values: np.ndarray) -> np.ndarray:
    """(N, 512) unsigned: the values' order-preserving integers, differenced along all three axes of each leaf."""
    bits = values.view(f"u{values.itemsize}")
    sign = bits.dtype.type(1 << (8 * values.itemsize - 1))
    order = np.where(bits & sign, ~bits, bits | sign).reshape(-1, 8, 8, 8)
    for axis in (1, 2, 3):
        order = np.diff(order, axis=axis, prepend=order.dtype.type(0))
    return order.reshape(len(values), 512)


def measure(paths: list[Path]) -> dict[str, list[tuple[int, float]]]:
    """{codec: [(bytes, seconds) of each file]}, and the raw bytes under `raw`."""
    measured: dict[str, list[tuple[int, float]]] = {name: [] for name in ("raw", *CODECS)}
    for path in tqdm(paths, unit="file"):
        arrays = [(v, d) for v, d in value_arrays(path) if len(v)]
        measured["raw"].append((sum(v.nbytes for v, _ in arrays), 0.0))
        for name, code in CODECS.items():
            began = time.process_time()
            size = sum(code(*pair) for pair in arrays)
            measured[name].append((size, time.process_time() - began))
    return measured


def report(paths: list[Path], measured: dict[str, list[tuple[int, float]]]) -> str:
    """The table as Markdown; times are processor seconds of one thread, as multiples of the fastest codec."""
    fastest = min(sum(t for _, t in measured[name]) for name in CODECS)
    lines = [
        "# Lossless codecs on active values",
        "",
        "`python -P tests/benchmarks/codecs.py FILE...`; bytes, and processor time as a multiple of the fastest.",
        "",
        f"| codec | {' | '.join(p.stem for p in paths)} | total | time |",
        "| --- |" + " ---: |" * (len(paths) + 2),
    ]
    for name, results in measured.items():
        total, spent = (sum(column) for column in zip(*results, strict=True))
        time_text = f"{spent / fastest:.1f}" if spent else ""
        lines.append(f"| {name} | {' | '.join(str(size) for size, _ in results)} | {total} | {time_text} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures the files named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    text = report(args.paths, measure(args.paths))
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
