"""Each kernel alone for gpu.py: its time on the points of a level, and what share of its floor that is.

The floor of bytes is what a kernel must read and write once, over the bandwidth of the maker's sheet. That of
instructions, for kernels without loops, is what machine code has for each item (tests/kernels/compiled.py), over what
all multiprocessors can start: four a cycle.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import triton
from gpu_copies import STEPS
from gpu_report import same

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))
from compiled import table_row

from neuralvdb.kernels import zigzag
from neuralvdb.kernels.bricks import Destination, Differences, Targets
from neuralvdb.kernels.compact import Flags, compact
from neuralvdb.kernels.neighbours import find_neighbours
from neuralvdb.kernels.network import Packed, forward
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.predict import Stencil, StencilNetwork, predict
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import Encoded, Plan, Segments, decode, encode
from neuralvdb.kernels.reconstruct import RawBits, reconstruct
from neuralvdb.kernels.split import Cells, Companding, Halves, split

if TYPE_CHECKING:
    from gpu_copies import Copies

SEGMENT = 1 << 15  # symbols


@dataclass
class Job:
    """items: points, voxels or bricks; moved: bytes, at least; variant: module, kernel and number in compiled.KERNELS,
    None where loops make a count of instructions say nothing."""

    run: Callable[[], object]
    items: int
    moved: int
    variant: tuple[str, str, int] | None = None


def jobs(bricks: Copies) -> dict[str, Job]:
    """Of every kernel but fit and masks, which gpu.py measures whole, on level 0 of all copies."""
    return predictions(bricks) | coding(bricks) | structure(bricks)


def predictions(bricks: Copies) -> dict[str, Job]:
    """Along z, where most points are; the mean lattice on made-up shares, with the differences that the values are."""
    level, net, step = bricks.finest(), bricks.predictors[0, 2, 0], STEPS[0]
    points, share = bricks.targets[4].points, torch.zeros_like(level.active)
    differences, n = Differences(values=level.values, known=level.active, share=share), len(points)
    cells = replace(level, differences=differences)

    def job(points: torch.Tensor, stencil: Stencil, variant: int) -> Job:
        network = _stand_in(net.network, stencil)

        def run() -> object:
            return predict(cells if stencil.mean else level, points, network, step)

        moved = level.values.numel() * 5 * (2 if stencil.mean and stencil.phase else 1) + len(points) * 13
        return Job(run, len(points), moved, ("predict", "_predict", variant))

    other = bricks.targets[5].points
    inputs = torch.zeros((n, net.network.inputs), dtype=torch.int8, device=points.device)
    forward_job = Job(lambda: forward(inputs, net.network), n, n * (inputs.shape[1] + 8), ("network", "_forward", 0))
    return {
        "predict, sample, phase 0": job(points, Stencil(2, 0), 0),
        "predict, sample, phase 1": job(other, Stencil(2, 1), 1),
        "predict, mean, phase 0": job(points, Stencil(2, 0, mean=True), 3),
        "predict, mean, phase 1": job(other, Stencil(2, 1, mean=True), 4),
        "network": forward_job,
    }


def _stand_in(network: Packed, stencil: Stencil) -> StencilNetwork:
    """Some network's weights for a stencil: what it predicts means nothing, its time does."""
    return StencilNetwork(stencil=stencil, network=replace(network, columns=tuple(stencil.columns())))


def coding(bricks: Copies) -> dict[str, Job]:
    """What follows a prediction, encoding and decoding. Raises Different where symbols do not come back."""
    level, exact, step = bricks.finest(), bricks.tiled("0.exact"), STEPS[0]
    points = bricks.targets[4].points
    n, device = len(points), points.device
    starts = torch.tensor([0, n], device=device)
    predicted = predict(level, points, bricks.predictors[0, 2, 0], step)
    destination = Destination(targets=Targets(points=points, starts=starts), values=torch.empty_like(level.values))
    residuals, classes = quantise(exact, predicted, destination, step), predicted.scale_classes
    coded = bricks.arrays["coded"]
    symbols = zigzag.symbols(residuals, classes, coded)
    raw = zigzag.raw(residuals, classes, symbols, starts)
    words = torch.zeros(int(raw.sizes[0]) // 32 + 3, dtype=torch.int32, device=device)
    pack(raw.values, raw.at, words)
    plan, codes, slots = _plan(n, device), bricks.arrays["codes"], bricks.slots
    segments = _segments(plan, encode(codes, classes, symbols, plan))

    def again() -> torch.Tensor:
        fresh = {name: getattr(segments, name).clone() for name in ("states", "at", "taken")}
        return decode(slots, classes, starts, replace(segments, **fresh))

    def rebuilt() -> None:
        reconstruct(symbols, predicted, destination, step, replace(bits, at=bits.at.clone()))

    same("symbols", symbols, again())
    bits = RawBits(words=words, at=torch.zeros(1, dtype=torch.int64, device=device), end=raw.sizes)
    text = n * 2 + segments.words.numel() * 2
    return {
        "quantise": Job(lambda: quantise(exact, predicted, destination, step), n, n * 28, ("quantise", "_quantise", 0)),
        "residuals to symbols": Job(lambda: zigzag.symbols(residuals, classes, coded), n, n * 6),
        "pack": Job(lambda: pack(raw.values, raw.at, torch.zeros_like(words)), len(raw.values), len(raw.values) * 16),
        "rans, encode": Job(lambda: encode(codes, classes, symbols, plan), n, text),
        "rans, decode": Job(again, n, text),
        "reconstruct": Job(rebuilt, n, n * 22 + words.numel() * 4),
    }


def structure(bricks: Copies) -> dict[str, Job]:
    """Lists, neighbours and halves of cells."""
    flags = bricks.tiled("0.coded")
    device, n = flags.device, len(flags)
    passes = (torch.arange(512, device=device) % 6).to(torch.uint8)
    edge = max(1, round(n ** (1 / 3)))
    cells = torch.cartesian_prod(*[torch.arange(edge, dtype=torch.int32, device=device)] * 3)
    cells = torch.cat([torch.zeros_like(cells[:, :1]), cells], 1).contiguous()
    table, boxes = (
        torch.arange(edge**3, dtype=torch.int32, device=device),
        torch.tensor([[0, *[edge] * 3]], device=device),
    )
    means = bricks.tiled("0.values").contiguous()
    pairs = torch.arange(n // 2 * 2, device=device).view(-1, 2)
    counts = flags.to(torch.int32)
    split_cells = Cells(means=means, companded=means, differences=means)
    halves = Halves(
        axis=2, pairs=pairs, counts=counts, means=torch.empty_like(means), companded=torch.empty_like(means)
    )
    companding = Companding(knee=0, nonnegative=False)
    listed = int((flags != 0).sum())
    in_passes = Flags(flags=flags, passes=passes, count=6, begins=[0, n])
    return {
        "compact": Job(lambda: compact([in_passes]), n * 512, n * 1024 + listed * 4),
        "neighbours": Job(
            lambda: find_neighbours(table, boxes, cells), len(cells), len(cells) * 129, ("neighbours", "_neighbours", 0)
        ),
        "split": Job(lambda: split(split_cells, halves, companding), n * 512, n * 512 * 18),
    }


def table(bricks: Copies, seconds: Callable[[Callable[[], object]], float], bandwidth: float | None) -> list[str]:
    """Lines of the report."""
    device = triton.runtime.driver.active.utils.get_device_properties(0)
    starts = device["multiprocessor_count"] * 4 * device["sm_clock_rate"] * 1e3  # of kHz
    major, minor = torch.cuda.get_device_capability()
    heads = ("kernel", "items", "ms", "M items/s", "bytes", "share of bandwidth", "instructions", "share of issue")
    text = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for name, job in jobs(bricks).items():
        took = seconds(job.run)
        cells = [name, f"{job.items:,}", f"{took * 1e3:.3f}", f"{job.items / took / 1e6:,.0f}", f"{job.moved:,}"]
        cells.append(f"{job.moved / bandwidth / took:.0%}" if bandwidth else "")
        each = table_row(*job.variant, major * 10 + minor)[-1] if job.variant else None
        cells += [f"{each:g}", f"{each * job.items / starts / took:.0%}"] if each else ["", ""]
        text.append(f"| {' | '.join(cells)} |")
    return text


def _plan(n: int, device: torch.device) -> Plan:
    """One stream of one batch, cut into segments of 32 lanes."""
    count = max(1, n // SEGMENT)
    number = torch.arange(count, dtype=torch.int32, device=device)
    return Plan(
        batches=torch.tensor([[0, n]], device=device),
        begins=torch.tensor([0, 1], device=device),
        stream=torch.zeros_like(number),
        number=number,
        count=torch.full_like(number, count),
        lanes=torch.full_like(number, 32),
        ends=(number.long() + 1) * n // count,
    )


def _segments(plan: Plan, encoded: Encoded) -> Segments:
    ends = encoded.sizes.cumsum(0)
    return Segments(
        stream=plan.stream,
        number=plan.number,
        count=plan.count,
        lanes=plan.lanes,
        states=encoded.states,
        words=encoded.words,
        at=ends - encoded.sizes,
        end=ends,
        taken=torch.zeros_like(ends),
    )
