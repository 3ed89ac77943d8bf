"""The kernels on a GPU: right first, then how fast. Needs torch and triton, a checkout, and no OpenVDB.

    python -P tests/benchmarks/gpu_bricks.py data/sample/smoke.vdb density bricks.npz  # where the package is installed
    python tests/benchmarks/gpu.py bricks.npz [-o data/results]                        # on the machine with the GPU

Kernels are compared with their references on fresh random input and pass by pass on the chunk, the whole decoders of
values and of leaf masks with what the CPU decoded, and the whole encoder with the bytes that the CPU made, before
anything is timed. A stage that fails is told and the others go on. Without a GPU only the comparisons are made,
interpreted, and said.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import neuralvdb  # noqa: E402

neuralvdb.__path__.append(str(ROOT))  # kernels/ is neuralvdb.kernels

import gpu_kernels  # noqa: E402
from gpu_checks import Fitting, random_checks  # noqa: E402
from gpu_copies import Copies  # noqa: E402
from gpu_encode import Encoder  # noqa: E402
from gpu_masks import Masks  # noqa: E402
from gpu_passes import checked_passes  # noqa: E402
from gpu_report import Different, Report  # noqa: E402

MILLIONS = (1, 10, 100, 500)
# bytes/s, by makers' sheets
BANDWIDTH = {"H100": 3.35e12, "H200": 4.8e12, "A100": 2.0e12, "L40": 0.86e12, "4090": 1.01e12}


def seconds(job: Callable[[], object], runs: int = 5) -> float:
    """Of the fastest run, after two that are not counted."""
    times = []
    for _ in range(runs + 2):
        torch.cuda.synchronize()
        began = time.perf_counter()
        job()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[2:])


def graph_seconds(bricks: Copies) -> float:
    """Of decoding by a CUDA graph of all launches, recorded first. Raises Different where values differ."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = bricks.decoded()
    values.zero_()
    took = seconds(graph.replay)
    bricks.check(decoded=values)
    return took


def kernel_figures(path: Path, device: str) -> Iterator[str]:
    """Each kernel on a level of ten million voxels."""
    name = torch.cuda.get_device_name(device)
    rate = next((value for key, value in BANDWIDTH.items() if key in name), None)
    yield from gpu_kernels.table(Copies(path, device, _copies(path, 10)), seconds, rate)


def fit_figures(path: Path, device: str) -> Iterator[str]:
    """Networks in training."""
    fitting, batch, steps = Fitting(path, device), 2048, 100
    fitting.check(20, batch)
    picks = fitting.picks(steps, batch)
    took = seconds(lambda: fitting.fitted(picks)) / steps
    yield f"fit: {fitting.networks} networks, {batch} examples each: {took * 1e3:.3f} ms, {1 / took:,.0f} steps/s"


def encode_figures(path: Path, device: str) -> Iterator[str]:
    """The steps of encoding ten million voxels."""
    encoder = Encoder(Copies(path, device, _copies(path, 10)))
    encoder.check()
    yield from (f"encode, {line}" for line in encoder.figures(seconds))


def whole_figures(path: Path, device: str) -> Iterator[str]:
    """Whole decodes and encodes of more and more voxels."""
    heads = ["active voxels", "copies"]
    for name in ("decode", "by a graph", "encode"):
        heads += [f"{name}, ms", "M voxels/s"]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " ---: |" * len(heads)
    for millions in MILLIONS:
        try:
            bricks = Copies(path, device, _copies(path, millions))
            encoder = Encoder(bricks)
            bricks.check()
            encoder.check()
            times = [seconds(bricks.decoded), graph_seconds(bricks), seconds(encoder.encoded)]
        except torch.OutOfMemoryError:
            yield f"| {millions} M | out of memory |" + " |" * (len(heads) - 2)
            bricks = encoder = None
            torch.cuda.empty_cache()
            continue
        cells = " | ".join(f"{took * 1e3:.2f} | {bricks.voxels / took / 1e6:,.0f}" for took in times)
        yield f"| {bricks.voxels:,} | {bricks.copies} | {cells} |"


def _copies(path: Path, millions: int) -> int:
    """Of the chunk, for so many million active voxels."""
    with np.load(path) as file:
        return max(1, millions * 1_000_000 // int(file["0.coded"].sum()))


def mask_figures(path: Path, device: str) -> Iterator[str]:
    """Lines about decoding leaf masks."""
    yield "| leaves | masks, ms | M bits/s |"
    yield "| ---: | ---: | ---: |"
    with np.load(path) as file:
        copies = file["m.copies"].tolist()
    for count in copies:
        masks = Masks(path, device, count)
        masks.check()
        took = seconds(masks.decoded)
        yield f"| {masks.leaves:,} | {took * 1e3:.2f} | {masks.leaves * 512 / took / 1e6:,.0f} |"


def check(path: Path, device: str, implementation: str) -> Iterator[str]:
    """Whole decodes and encodes of one copy, and every kernel on its own. Raises Different."""
    on_gpu = device != "cpu"
    random_checks(device, 100_000 if on_gpu else 100)
    yield "networks and splits are as their references make them, on random input"
    bricks = Copies(path, device)
    if on_gpu:
        yield from checked_passes(bricks)
    bricks.check(implementation)
    Encoder(bricks).check(implementation)
    Masks(path, device, 1).check(implementation)
    yield "a chunk and its leaf masks decode and encode as on the CPU"


def main() -> None:
    """Checks, measures where there is a GPU, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bricks", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="folder for the report")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        try:
            list(check(args.bricks, "cpu", "reference"))
            Fitting(args.bricks, "cpu").check(2, 40)
        except Different as error:
            raise SystemExit(f"{error}: no figures") from error
        for job in gpu_kernels.jobs(Copies(args.bricks, "cpu")).values():
            job.run()
        print("no GPU here, so no figures: kernels agree with references, interpreted; these code as the CPU does")
        return
    name = "".join(c if c.isalnum() else "-" for c in torch.cuda.get_device_name().lower())
    report = Report(args.output / f"gpu-{name}-{args.bricks.stem}.md" if args.output else None)
    report.line(f"# Kernels on {torch.cuda.get_device_name()}, {args.bricks.name}\n")
    report.line("`python tests/benchmarks/gpu.py`, best of 5.\n")
    report.stage("checks", lambda: check(args.bricks, "cuda", "auto"))
    for figures in (whole_figures, kernel_figures, encode_figures, fit_figures, mask_figures):
        report.line("")
        report.stage(figures.__name__, lambda: figures(args.bricks, "cuda"))  # noqa: B023 - used at once
    raise SystemExit(report.failed)


if __name__ == "__main__":
    main()
