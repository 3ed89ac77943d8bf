"""Bytes and decoding speed of topologies against general compressors of the leaf masks alone.

    python -P tests/benchmarks/topology.py FILE_OR_FOLDER... [-o data/results/topology.md] [--threads 2] [--runs 5]

Every different topology of the files is coded once, the whole of it: root, nodes, tiles and leaf masks. What is decoded
is compared before anything is printed. Times are the smallest of several runs.
"""

import argparse
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from tqdm import tqdm

from neuralvdb import CompressSettings, compress, topology
from neuralvdb.codec.frame import FrameReader
from neuralvdb.settings import Bound
from neuralvdb.topology import Topology
from neuralvdb.topology.payload import TopologyPayload
from neuralvdb.vdb import VdbReader, describe_metadata
from neuralvdb.volume.grid import popcount

LARGE = 100_000  # active voxels
ROUGH = 1000  # bytes that zstd -19 needs of masks that are no boxes
HEADER = """# Topology

`python -P tests/benchmarks/topology.py DATA data/sample` on {threads} threads, best of {runs}.
Whole topologies (root, nodes, tiles, leaf masks) against zlib -9 and zstd -19 of the leaf masks alone; `share` is the
part of zstd -19 that is needed, `decode` in million bits of leaf masks per second. Every topology is listed once.

| grid | class | active voxels | leaves | zlib | zstd -19 | topology | codec | share | decode |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass
class Row:
    """A topology. Sizes in bytes; seconds to decode it."""

    name: str
    kind: str
    voxels: int
    leaves: int
    zlib: int
    zstd: int
    size: int
    codec: int
    seconds: float

    @property
    def share(self) -> float:
        """Of zstd -19."""
        return self.size / self.zstd

    @property
    def speed(self) -> float:
        """Million bits of leaf masks per second."""
        return self.leaves * 512 / self.seconds / 1e6

    def text(self) -> str:
        """A row of the table."""
        sizes = f"{self.voxels} | {self.leaves} | {self.zlib} | {self.zstd} | {self.size} | {self.codec}"
        return f"| {self.name} | {self.kind} | {sizes} | {self.share:.3f} | {self.speed:.1f} |"


def fastest(runs: int, job) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        times.append(time.perf_counter() - began)
    return min(times)


def measure(name: str, kind: str, tree_topology: Topology, threads: int, runs: int) -> Row:
    """The row of a topology. Exits where it does not come back."""
    codec, payload = topology.encode(tree_topology, threads=threads)
    source = TopologyPayload(codec=codec, payload=payload, declared=tree_topology.nbytes, where=name)

    def decode() -> Topology:
        return topology.decode(source, threads=threads)

    if any(not np.array_equal(a, b) for a, b in zip(tree_topology.masks, decode().masks, strict=True)):
        raise SystemExit(f"{name}: another topology comes back; no figures")
    raw = tree_topology.leaf_active.tobytes()
    sizes = len(zlib.compress(raw, 9)), len(zstandard.ZstdCompressor(level=19).compress(raw)), len(payload)
    return Row(
        name,
        kind,
        popcount(tree_topology.leaf_active),
        len(tree_topology.leaf_active),
        *sizes,
        codec,
        fastest(runs, decode),
    )


def rows_of(path: Path, root: Path, threads: int, runs: int) -> list[Row]:
    """Rows of the different topologies of a file."""
    measured = {}
    for grid in VdbReader(path):
        if grid.tree is not None and len(grid.tree.leaf):
            topology = Topology.of(grid.tree)
            key = b"".join(mask.tobytes() for mask in topology.masks)
            if key not in measured:
                kind = describe_metadata(grid.metadata).get("class", ("", "unknown"))[1]
                name = f"{path.relative_to(root) if path != root else path.name} {grid.name}"
                measured[key] = measure(name, kind, topology, threads, runs)
    return list(measured.values())


def share_of_time(path: Path, runs: int) -> tuple[float, float]:
    """Seconds for the topologies of a file and for all of its grids, coded with an error of 1 %."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "x.neuralvdb"
        compress(path, archive, CompressSettings(bounds=(Bound(value=0.01, relative=True),), verify=False))
        with FrameReader(archive) as frame:
            grids = range(len(frame.grids))
            trees = [i for i in grids if frame.grids[i].leaves]
            topologies = fastest(runs, lambda: [frame.topology(i) for i in trees])
            return topologies, fastest(runs, lambda: [frame.read(i) for i in grids])


def average(name: str, rows: list[Row]) -> str:
    """A line about some rows."""
    if not rows:
        return f"- {name}: none"
    together = sum(result.size for result in rows) / sum(result.zstd for result in rows)
    mean = np.mean([result.share for result in rows])
    return f"- {name}: {mean:.3f} of zstd -19 on average over {len(rows)}, {together:.3f} of all their bytes"


def summary(rows: list[Row], files: list[Path], runs: int) -> list[str]:
    """What the rows say together."""
    fog = [result for result in rows if result.kind != "level set"]
    level_sets = [result for result in rows if result.kind == "level set"]
    large = [result for result in fog if result.voxels > LARGE and result.zstd > ROUGH]
    lines = [
        average(
            f"fog and other fields of more than {LARGE} active voxels",
            [result for result in fog if result.voxels > LARGE],
        ),
        average(f"the same without boxes (over {ROUGH} bytes with zstd -19)", large),
        average(f"all fog and other fields of over {ROUGH} bytes", [result for result in fog if result.zstd > ROUGH]),
        average("level sets", level_sets),
        average(f"level sets of over {ROUGH} bytes", [result for result in level_sets if result.zstd > ROUGH]),
    ]
    if large:
        bits, seconds = sum(512 * result.leaves for result in large), sum(result.seconds for result in large)
        lines.append(f"- decoding of the second group: {bits / seconds / 1e6:.1f} million bits per second")
    for path in files:
        time_of_topology, whole = share_of_time(path, runs)
        name = f"{path.parent.name}/{path.name}"
        lines.append(
            f"- {name} at a relative error of 1 %: topology is {time_of_topology / whole:.1%} of the decoding time"
        )
    return lines


def main() -> None:
    """Measures and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    files = [(p, root) for root in args.paths for p in (sorted(root.rglob("*.vdb")) if root.is_dir() else [root])]
    files = [(path, root) for path, root in files if not {"malformed", "variants"} & set(path.parts)]
    rows = [result for item in tqdm(files, unit="file") for result in rows_of(*item, args.threads, args.runs)]
    timed = [path for path, _ in files if path.name in ("smoke.vdb", "wdas_cloud_sixteenth.vdb")]
    lines = [HEADER.format(threads=args.threads, runs=args.runs), *(result.text() for result in rows), ""]
    text = "\n".join([*lines, *summary(rows, timed, args.runs)]) + "\n"
    if args.output:
        args.output.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
