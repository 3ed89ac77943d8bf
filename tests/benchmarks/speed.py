"""Speed and memory of the lossy value codecs beside SZ3, SPERR and ZFP, in one run.

    python -P tests/benchmarks/speed.py FILE... [-o data/results/speed.md] [--runs 3]

Of each file the grids with a million active leaf voxels or more. Every measurement is a fork of a process that has
imported everything and loaded nothing; where memory is measured, it has coded a small grid before, so that what
libraries take for themselves is there already (Linux only: /proc/self/clear_refs).
"""

import argparse
import functools
import itertools
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from neuralvdb.codec.guarantee import promise_for
from neuralvdb.platform import return_memory
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import encoder
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import priors
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import unpack

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

import peers
import rates
from rate_tables import table

BOUND = 0.003  # of the active range, maximum error of all but the presets
LEAST = 1_000_000  # active leaf voxels
RULES = f"""\
- Volumes of {LEAST:,} active leaf voxels or more; speeds in millions of those per second, best of the runs.
- "{BOUND:.1%}": that share of the active range is the maximum error. "production": the preset. "fast": --fast.
- SZ3, SPERR and ZFP code the dense bounding box, which they are given as an array.
- Peak memory: of a process that has coded a small grid, less what it has before it loads its input (the grid or the
  array, which therefore counts), in MiB and as a multiple of the leaves' values as float32.
"""

SMALL = Path(__file__).resolve().parents[2] / "data/sample/cloud.vdb"

# load (the volume, or else something small), encode, decode
Coder = tuple[Callable[[bool], object], Callable[[object], bytes], Callable[[bytes], object]]


def neuralvdb_coder(path: Path, index: int, settings: CompressSettings) -> Coder:
    """The lossy codec under `settings`; what is passed on holds the topology, as an archive does."""

    def load(small: bool) -> VolumeGrid:
        return VdbReader(SMALL).read(0) if small else VdbReader(path).read(index)

    def encode(grid: VolumeGrid) -> bytes:
        models = priors.fast() if settings.fast else priors.shipped()
        promise = promise_for(grid, settings)
        coded = encoder.encode(grid.tree, promise, EncodeOptions(models=models, threads=settings.threads))
        return pickle.dumps(ValuesSource.of(coded, "payload"))

    def decode(coded: bytes) -> object:
        return ValuesDecoder(pickle.loads(coded), DecodeOptions(threads=settings.threads)).decode()

    return load, encode, decode


def theirs(array: Path, bound: float, peer: peers.ArrayPeer) -> Coder:
    """A coder of arrays, on the one that the file `array` holds."""

    def encode(loaded: np.ndarray) -> bytes:
        return pickle.dumps((peer.encode(loaded, bound), loaded.shape))

    def decode(coded: bytes) -> object:
        code, shape = pickle.loads(coded)
        return peer.decode(code, np.empty(shape, np.float32))

    return lambda small: np.load(array)[: 16 if small else None].copy(), encode, decode


def coders(path: Path, index: int, fog: bool, array: Path, bound: float) -> dict[str, Coder]:
    """What is measured of a grid, by name."""
    by_name = {}
    for threads, fast in itertools.product((1, 2), (False, True)):
        suffix = ", fast" * fast + f", {threads} thread{'s' * (threads > 1)}"
        relative = CompressSettings(bounds=(Bound(value=BOUND, relative=True),), threads=threads, fast=fast)
        by_name[f"neuralvdb {BOUND:.1%}{suffix}"] = neuralvdb_coder(path, index, relative)
        if fog:
            production = CompressSettings(quality="production", threads=threads, fast=fast)
            by_name[f"neuralvdb production{suffix}"] = neuralvdb_coder(path, index, production)
    for peer in peers.array_peers(fog=False):
        if peer.name in ("SZ3", "SPERR", "ZFP"):
            by_name[f"{peer.name} {BOUND:.1%}, 1 thread"] = theirs(array, bound, peer)
    return by_name


def save_dense(path: Path, name: str, array: Path) -> float:
    """Writes the dense box of a grid to `array` and gives the bound for it, in the grid's values."""
    (volume,) = rates.load(path, {name})
    np.save(array, np.ascontiguousarray(volume.values[..., 0]))
    return BOUND * rates.span(volume)


def in_child(job: Callable[[], object]) -> object:
    """What `job` gives in a fork."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(send, "wb") as pipe:
                pickle.dump(job(), pipe)
        except Exception:
            traceback.print_exc()
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        answer = pickle.load(pipe)
    os.waitpid(child, 0)
    return answer


def peak(first: Callable[[], object], job: Callable[[], object]) -> int:
    """Bytes that `job` adds to the peak memory of a fork that has done `first`."""

    def measured() -> int:
        first()
        return_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
        before = memory("VmRSS")
        job()
        return memory("VmHWM") - before

    return in_child(measured)


def memory(name: str) -> int:
    """Bytes in a line of the process's status."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def fastest(runs: int, job: Callable[[], object]) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times)


def measure(coder: Coder, runs: int, folder: Path) -> tuple[float, float, int, int]:
    """Seconds of encoding and decoding, and the peak memory in bytes of either."""
    load, encode, decode = coder
    target = folder / "coded"

    def time_both() -> tuple[float, float]:
        source = load(False)
        target.write_bytes(encode(source))
        return fastest(runs, lambda: encode(source)), fastest(runs, lambda: decode(target.read_bytes()))

    def small() -> None:
        decode(encode(load(True)))

    times = in_child(time_both)
    peaks = (peak(small, job) for job in (lambda: encode(load(False)), lambda: decode(target.read_bytes())))
    return *times, *peaks


def large(path: Path) -> list[tuple[int, str, int, int, bool]]:
    """Index, name, active leaf voxels, leaf values and whether they are fog, of the scalar grids that are large."""
    measured = []
    for index, entry in enumerate(VdbReader(path).entries):
        grid = VdbReader(path).read(index)
        if grid.tree is None or grid.tree.leaf.values.ndim == 3 or not len(grid.tree.leaf):
            continue
        promise = promise_for(grid, CompressSettings(quality="production"))
        voxels = int(np.count_nonzero(unpack(grid.tree.leaf.active)))
        if promise is not None and voxels >= LEAST:
            measured.append(
                (index, entry.name, voxels, grid.tree.leaf.values.size, promise.mode.family.startswith("fog"))
            )
    return measured


def main() -> None:
    """Measures the files named and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    busy = os.getloadavg()[0]
    priors.shipped(), priors.fast()
    body = []
    with tempfile.TemporaryDirectory() as folder:
        array = Path(folder) / "dense.npy"
        for path in args.files:
            for index, name, voxels, values, fog in in_child(functools.partial(large, path)):
                bound = in_child(functools.partial(save_dense, path, name, array))
                jobs = coders(path, index, fog, array, bound)
                for coder, jobs_of_coder in tqdm(jobs.items(), desc=f"{path.stem} {name}", unit="coder", leave=False):
                    encode_s, decode_s, *peaks = measure(jobs_of_coder, args.runs, Path(folder))
                    memories = [f"{used / 2**20:.0f} ({used / (4 * values):.1f}x)" for used in peaks]
                    speeds = [voxels / seconds / 1e6 for seconds in (encode_s, decode_s)]
                    body.append([f"{path.parent.name}/{path.stem} {name}", voxels, coder, *speeds, *memories])
    head = ["volume", "voxels", "coder", "encode, M/s", "decode, M/s", "peak, encode", "peak, decode"]
    cores = f"{len(os.sched_getaffinity(0))} cores (load average {busy:.1f} before), best of {args.runs}"
    title = "# Speed and memory of value codecs\n\n`python -P tests/benchmarks/speed.py FILE...` on"
    text = f"{title} {cores}.\n\n{RULES}\n{table(head, body)}"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
