"""The kernels on a GPU: right first, then how fast. Needs torch and triton, a checkout, and no OpenVDB.

    python -P tests/benchmarks/gpu_bricks.py data/sample/smoke.vdb density bricks.npz  # where the package is installed
    python tests/benchmarks/gpu.py bricks.npz [-o data/results]                        # on the machine with the GPU

Kernels are compared with their references on fresh random input, the whole decoders of values and of leaf masks with
what the CPU decoded, and the whole encoder with the bytes that the CPU made, before anything is timed. Without a GPU
only that is done, interpreted, and said.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import neuralvdb  # noqa: E402

neuralvdb.__path__.append(str(ROOT))  # kernels/ is neuralvdb.kernels

import gpu_kernels  # noqa: E402
from gpu_encode import Encoder  # noqa: E402
from gpu_masks import Masks, packed  # noqa: E402

from neuralvdb.kernels.bricks import Bricks, Destination, Neighbours, Predictions, Targets  # noqa: E402
from neuralvdb.kernels.fit import Examples, Learners, fit  # noqa: E402
from neuralvdb.kernels.network import Weights, forward, pack  # noqa: E402
from neuralvdb.kernels.predict import Stencil, StencilNetwork, predict  # noqa: E402
from neuralvdb.kernels.rans import Segments, decode  # noqa: E402
from neuralvdb.kernels.reconstruct import RawBits, reconstruct  # noqa: E402
from neuralvdb.kernels.split import Cells, Companding, Halves, split  # noqa: E402

MILLIONS = (1, 10, 100, 500)
# bytes/s, by makers' sheets
BANDWIDTH = {"H100": 3.35e12, "H200": 4.8e12, "A100": 2.0e12, "L40": 0.86e12, "4090": 1.01e12}
PASSES = [(axis, phase) for axis in range(3) for phase in (0, 1)]
STEPS = (16, 11, 8, 6, 4)
ROOT_CLASS = 40
TOP = 1 << 28


class PassCoder(Protocol):
    """Codes a pass of level k; writes the values to their destination."""

    def __call__(self, k: int, predictions: Predictions, destination: Destination) -> None:
        """Codes it."""


class Copies:
    """One chunk as gpu_bricks.py wrote it, `copies` times side by side on a device: each with streams of its own."""

    def __init__(self, path: Path, device: str, copies: int = 1) -> None:
        with np.load(path) as file:
            self.arrays = {name: torch.from_numpy(file[name]).to(device) for name in file.files}
        self._device, self.copies = device, copies
        self.expected = self.arrays["expected"]
        self.voxels = copies * int(self.arrays["0.coded"].sum())
        self.active = [self.tiled(f"{k}.active") for k in range(5)]
        self.neighbours = [
            Neighbours(bricks=self._offset(f"{k}.neighbours", k), edges=self.tiled(f"{k}.edges")) for k in range(4)
        ]
        self.targets = [self._listed(f"{k}.targets.{p}", k) for k in range(4) for p in range(6)]
        self.root = self._listed("4.targets.0", 4)
        self.slots, self._payloads = self.arrays["slots"], self.arrays["payloads"].tolist()
        self.predictors: dict[tuple[int, int, int], StencilNetwork] = {}
        for key in [(k, axis, phase) for k in range(3) for axis, phase in PASSES]:
            stencil = Stencil(key[1], key[2])
            network = packed(self.arrays, str(key), stencil.columns())
            self.predictors[key] = StencilNetwork(stencil=stencil, network=network)

    def decoded(self, implementation: str = "auto") -> torch.Tensor:
        """(copies * R, 512) int32 of level 0."""
        streams = self._streams()

        def take(layer: int, quant_step: int, predictions: Predictions, destination: Destination) -> None:
            segments, bits = streams[layer]
            classes, starts = predictions.scale_classes, destination.targets.starts
            symbols = decode(self.slots, classes, starts, segments, implementation=implementation)
            reconstruct(symbols, predictions, destination, quant_step, bits, implementation=implementation)

        n = len(self.root)
        classes = torch.full((n,), ROOT_CLASS, dtype=torch.uint8, device=self._device)
        root, zeros = (torch.zeros(n, dtype=dtype, device=self._device) for dtype in (torch.int32, torch.int64))
        numbers = Targets(points=torch.arange(n, dtype=torch.int32, device=self._device), starts=self.root.starts)
        take(0, 1, Predictions(values=zeros, scale_classes=classes), Destination(targets=numbers, values=root))
        values = self.values_from(root.view(self.copies, -1).cumsum(1).reshape(-1) * STEPS[4])

        def code(k: int, predictions: Predictions, destination: Destination) -> None:
            take(max(3 - k, 0), STEPS[k], predictions, destination)

        self.descend(values, code, implementation)
        return values[0]

    def values_from(self, top: torch.Tensor) -> list[torch.Tensor]:
        """Values (copies * R, 512) int32 of each level, of which the coarsest points (n,) are known."""
        values = [self.tiled(f"{k}.values") for k in range(5)]
        values[4].view(-1)[self.root.points.long()] = top.clamp(-TOP, TOP).to(torch.int32)
        return values

    def descend(self, values: list[torch.Tensor], code: PassCoder, implementation: str) -> None:
        """Calls `code` for every pass; it writes the values to their destination."""
        for k in reversed(range(4)):
            self._upsample(values, k)
            bricks = Bricks(values=values[k], active=self.active[k], neighbours=self.neighbours[k])
            for p, (axis, phase) in enumerate(PASSES):
                targets, predictor = self.targets[6 * k + p], self.predictors[min(k, 2), axis, phase]
                predictions = predict(bricks, targets.points, predictor, STEPS[k], implementation=implementation)
                code(k, predictions, Destination(targets=targets, values=values[k]))

    def check(self, implementation: str = "auto", decoded: torch.Tensor | None = None) -> None:
        """Ends the program where what is decoded, here if it is not given, is not what the CPU decoded."""
        values = self.decoded(implementation) if decoded is None else decoded
        copied = values.view(self.copies, -1, 512)[:, : len(self.expected)]
        if not torch.equal(copied, self.expected.expand_as(copied)):
            raise SystemExit(f"wrong values from {implementation}: no figures")

    def finest(self) -> Bricks:
        """Level 0 of all copies."""
        return Bricks(values=self.tiled("0.values"), active=self.active[0], neighbours=self.neighbours[0])

    def _upsample(self, values: list[torch.Tensor], k: int) -> None:
        parent, octant = self._offset(f"{k}.parent", k + 1), self.tiled(f"{k}.octant")
        bricks = len(parent) // self.copies
        eighths = values[k + 1].view(-1, 2, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 8, 4, 4, 4)
        fine = values[k].view(self.copies, -1, 8, 8, 8)[:, :bricks, ::2, ::2, ::2]
        fine.copy_(eighths[parent.long(), octant.long()].view(self.copies, bricks, 4, 4, 4))

    def _streams(self) -> list[tuple[Segments, RawBits]]:
        """Of each layer; payloads that go on are the same objects."""
        made: dict[int, tuple[Segments, RawBits]] = {}
        for payload in self._payloads:
            if payload not in made:
                tensors = {name: self.tiled(f"p{payload}.{name}") for name in ("number", "count", "lanes", "states")}
                tensors |= {name: self.tiled(f"p{payload}.{name}").clone() for name in ("at", "end", "taken")}
                each = len(tensors["number"]) // self.copies
                copy = torch.arange(self.copies, dtype=torch.int32, device=self._device)
                stream = copy[:, None].expand(-1, each).reshape(-1)
                at, end = (self.tiled(f"p{payload}.bits_{name}").clone() for name in ("at", "end"))
                bits = RawBits(words=self.arrays["bits"], at=at, end=end)
                made[payload] = Segments(stream=stream, words=self.arrays["words"], **tensors), bits
        return [made[payload] for payload in self._payloads]

    def tiled(self, name: str) -> torch.Tensor:
        array = self.arrays[name]
        return array.repeat(self.copies, *[1] * (array.ndim - 1))

    def _offset(self, name: str, k: int) -> torch.Tensor:
        """Row numbers of level k, those of each copy behind those of the one before."""
        array = self.arrays[name]
        copy = torch.arange(self.copies, dtype=torch.int32, device=self._device) * len(self.arrays[f"{k}.active"])
        return (array + copy.view(-1, *[1] * array.ndim)).reshape(-1, *array.shape[1:]).contiguous()

    def _listed(self, name: str, k: int) -> Targets:
        array = self.arrays[name]
        rows = len(self.arrays[f"{k}.active"])
        copy = torch.arange(self.copies, dtype=torch.int32, device=self._device) * (rows * 512)
        starts = torch.arange(self.copies + 1, device=self._device) * len(array)
        return Targets(points=(array + copy[:, None]).reshape(-1), starts=starts)


def random_checks(device: str, n: int) -> None:
    """Networks and splits on fresh random input: the kernel against the reference."""
    random = torch.Generator().manual_seed(time.time_ns())

    def draw(low: int, high: int, size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.randint(low, high, size, generator=random, dtype=dtype)

    shapes = ((64, 128), (32, 64), (2, 32), (2, 128))
    w1, w2, w3, linear = (draw(-127, 128, shape, torch.int8) for shape in shapes)
    b1, b2, b3 = (draw(-9999, 9999, (size,), torch.int32) for size in (64, 32, 2))
    shifts = draw(4, 12, (6,), torch.int8)
    weights = Weights(w1=w1, b1=b1, w2=w2, b2=b2, w3=w3, b3=b3, linear=linear, shifts=shifts)
    net = pack(weights, range(128)).to(device)
    inputs = draw(-127, 128, (n, 128), torch.int8).to(device)
    outs = [forward(inputs, net, implementation=name) for name in ("reference", "triton")]
    same = torch.equal(*outs)
    for axis in range(3):
        means, differences = (draw(-(1 << 20), 1 << 20, (2, 512), torch.int32).to(device) for _ in range(2))
        counts, pairs = draw(0, 64, (4, 512), torch.int32).to(device), torch.arange(4, device=device).view(2, 2)
        made = []
        for name in ("reference", "triton"):
            fine = torch.full((2, 4, 512), -1, dtype=torch.int32, device=device)
            cells = Cells(means=means, companded=means, differences=differences)
            halves = Halves(axis=axis, pairs=pairs, counts=counts, means=fine[0], companded=fine[1])
            split(cells, halves, Companding(knee=0, nonnegative=False), implementation=name)
            made.append(fine)
        same &= torch.equal(*made)
    if not same:
        raise SystemExit("a kernel differs from its reference: no figures")


class Fitting:
    """Networks in training on a device, with the examples that gpu_bricks.py wrote."""

    def __init__(self, path: Path, device: str) -> None:
        with np.load(path) as file:
            arrays = {name[4:]: torch.from_numpy(file[name]).to(device) for name in file.files if name[:4] == "fit."}
        self._weights, self._device = arrays.pop("weights"), device
        self._examples = Examples(**arrays)
        self.networks = len(self._weights)
        ends = [*self._examples.extents[1:, 1].tolist(), len(self._examples.target)]
        self._counts = [end - begin for begin, end in zip(self._examples.extents[:, 1].tolist(), ends, strict=True)]

    def picks(self, steps: int, batch: int) -> torch.Tensor:
        """(T, K, B) int32, random."""
        picked = torch.stack([torch.randint(0, count, (steps, batch)) for count in self._counts], 1)
        return picked.to(torch.int32).to(self._device)

    def fitted(self, picks: torch.Tensor, implementation: str = "auto") -> tuple[torch.Tensor, torch.Tensor]:
        """Bits (T, K) of the steps, and weights after them."""
        zeros = torch.zeros_like(self._weights)
        nets = Learners(weights=self._weights.clone(), means=zeros, squares=zeros.clone())
        bits = fit(nets, self._examples, picks, [(1e-3, 0.9)] * len(picks), implementation=implementation)
        return bits, nets.weights

    def check(self, steps: int, batch: int) -> None:
        """Ends the program where the kernel's way is not that of the reference, within float tolerance."""
        picks = self.picks(steps, batch)
        (expected, weights), (bits, fitted_weights) = (self.fitted(picks, name) for name in ("reference", "triton"))
        if not torch.allclose(bits, expected, rtol=1e-3) or (fitted_weights - weights).abs().quantile(0.99) > 1e-4:
            raise SystemExit("networks that a kernel fits differ from those of its reference: no figures")


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
    """Of decoding by a CUDA graph of all launches, recorded first. Ends the program where values differ."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        values = bricks.decoded()
    values.zero_()
    took = seconds(graph.replay)
    bricks.check(decoded=values)
    return took


def figures(path: Path, device: str) -> list[str]:
    """Lines of the report: predict, the steps of encoding, then whole decodes and encodes of more and more voxels."""
    name = torch.cuda.get_device_name(device)
    rate = next((value for key, value in BANDWIDTH.items() if key in name), None)
    lines = [f"# Kernels on {name}", "", "`python tests/benchmarks/gpu.py bricks.npz`, best of 5, checked first.", ""]
    of_device = Copies(path, device)
    copies = max(1, 10_000_000 // of_device.voxels)
    lines += [*gpu_kernels.table(Copies(path, device, copies), seconds, rate), ""]
    fitting, batch, steps = Fitting(path, device), 2048, 100
    fitting.check(20, batch)
    picks = fitting.picks(steps, batch)
    took = seconds(lambda: fitting.fitted(picks)) / steps
    lines += [
        f"fit: {fitting.networks} networks, {batch} examples each: {took * 1e3:.3f} ms, {1 / took:,.0f} steps/s",
        "",
    ]
    encoder = Encoder(Copies(path, device, copies))
    encoder.check()
    lines += [f"encode, {line}" for line in encoder.figures(seconds)]
    del encoder
    heads = (
        "active voxels",
        "copies",
        "decode, ms",
        "M voxels/s",
        "by a graph, ms",
        "M voxels/s",
        "encode, ms",
        "M voxels/s",
    )
    lines += ["", f"| {' | '.join(heads)} |", "|" + " ---: |" * len(heads)]
    for millions in MILLIONS:
        try:
            bricks = Copies(path, device, max(1, millions * 1_000_000 // of_device.voxels))
            encoder = Encoder(bricks)
            bricks.check()
            encoder.check()
            times = [seconds(bricks.decoded), graph_seconds(bricks), seconds(encoder.encoded)]
        except torch.OutOfMemoryError:
            lines.append(f"| {millions} M | out of memory |" + " |" * (len(heads) - 2))
            torch.cuda.empty_cache()
            continue
        cells = " | ".join(f"{took * 1e3:.2f} | {bricks.voxels / took / 1e6:,.0f}" for took in times)
        lines.append(f"| {bricks.voxels:,} | {bricks.copies} | {cells} |")
    return [*lines, "", *mask_figures(path, device)]


def mask_figures(path: Path, device: str) -> list[str]:
    """Lines about decoding leaf masks."""
    lines = ["| leaves | masks, ms | M bits/s |", "| ---: | ---: | ---: |"]
    with np.load(path) as file:
        copies = file["m.copies"].tolist()
    for count in copies:
        masks = Masks(path, device, count)
        masks.check()
        took = seconds(masks.decoded)
        lines.append(f"| {masks.leaves:,} | {took * 1e3:.2f} | {masks.leaves * 512 / took / 1e6:,.0f} |")
    return lines


def main() -> None:
    """Checks, measures where there is a GPU, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bricks", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="folder for the report")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        random_checks("cpu", 100)
        Fitting(args.bricks, "cpu").check(2, 40)
        bricks = Copies(args.bricks, "cpu")
        bricks.check("reference")
        Encoder(bricks).check("reference")
        Masks(args.bricks, "cpu", 1).check("reference")
        for job in gpu_kernels.jobs(bricks).values():
            job.run()
        print("no GPU here, so no figures: kernels agree with references, interpreted; these code as the CPU does")
        return
    random_checks("cuda", 100_000)
    lines = figures(args.bricks, "cuda")
    print("\n".join(lines))
    if args.output:
        name = "".join(c if c.isalnum() else "-" for c in torch.cuda.get_device_name().lower())
        (args.output / f"gpu-{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
