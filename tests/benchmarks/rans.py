"""Speed of the entropy coder beside zstd's decoder, on the same symbols in the same run.

    python -P tests/benchmarks/rans.py [--symbols 16000000] [--runs 7]

Times are the smallest of several runs. What is decoded is compared before anything is printed.
"""

import argparse
import time

import numpy as np
import zstandard

from neuralvdb.archive.rans import Decoder, Encoder, Tables, normalise


def geometric(classes: int, alphabet: int) -> Tables:
    """Tables of residuals: two-sided geometric, from nearly certain to nearly flat."""
    distance = abs(np.arange(alphabet) - alphabet // 2)
    decay = np.exp(-np.geomspace(0.03, 6, classes))[:, None]
    return Tables(normalise((decay**distance * (1 << 30)).astype(np.int64)))


def fastest(runs: int, job) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times)


def encode(tables: Tables, batches: list, threads: int) -> bytes:
    """The batches as bytes."""
    encoder = Encoder(tables)
    for batch in batches:
        encoder.put(*batch)
    return encoder.finish(threads)


def decode(data: bytes, tables: Tables, batches: list, threads: int) -> list:
    """The symbols of all batches."""
    decoder = Decoder(data, tables, "benchmark", threads)
    symbols = [decoder.take(classes) for classes, _ in batches]
    decoder.finish()
    return symbols


def measure(symbols: int, classes: int, alphabet: int, runs: int) -> None:
    """Prints one block: a number of classes, encode and decode, 1 and 2 threads."""
    rng = np.random.default_rng(1)
    tables = geometric(classes, alphabet)
    tags = rng.integers(0, classes, symbols).astype(np.uint8)
    drawn = (tables.slots[tags, rng.integers(0, 4096, symbols)] & 255).astype(np.uint8)
    batches = list(zip(np.array_split(tags, 10), np.array_split(drawn, 10), strict=True))
    packed = zstandard.ZstdCompressor(level=1).compress(drawn.data)
    zstd = symbols / fastest(runs, lambda: zstandard.ZstdDecompressor().decompress(packed))
    data = encode(tables, batches, 1)
    print(f"{classes} classes of {alphabet} symbols, {symbols} symbols in 10 batches, {1 << (data[0] & 7)} lanes")
    print(f"  {8 * len(data) / symbols:.3f} bit/symbol; zstd -1 {8 * len(packed) / symbols:.3f}, {zstd / 1e6:.0f} M/s")
    for threads in (1, 2):
        decoded = decode(data, tables, batches, threads)
        if encode(tables, batches, threads) != data or (np.concatenate(decoded) != drawn).any():
            raise SystemExit("wrong symbols: no figures")
        for name, job in (
            ("encode", lambda t=threads: encode(tables, batches, t)),
            ("decode", lambda t=threads: decode(data, tables, batches, t)),
        ):
            speed = symbols / fastest(runs, job)
            print(f"  {name} {threads} threads: {speed / 1e6:6.0f} M symbols/s, {speed / zstd:.2f} of zstd -1 decode")


def main() -> None:
    """Measures few and many classes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=16_000_000)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    for classes, alphabet in ((1, 20), (16, 32), (64, 64)):
        measure(args.symbols, classes, alphabet, args.runs)


if __name__ == "__main__":
    main()
