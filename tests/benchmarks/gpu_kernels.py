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

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))
from compiled import row

from neuralvdb.kernels import zigzag
from neuralvdb.kernels.compact import compact
from neuralvdb.kernels.neighbours import neighbours
from neuralvdb.kernels.network import INPUTS, forward
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.predict import Stencil, predict
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import Plan, Segments, decode, encode
from neuralvdb.kernels.reconstruct import RawBits, reconstruct
from neuralvdb.kernels.split import split

if TYPE_CHECKING:
    from gpu import Bricks

SEGMENT = 1 << 15  # symbols


@dataclass
class Job:
    """items: points, voxels or bricks; moved: bytes, at least; variant: module, kernel and number in compiled.KERNELS,
    None where loops make a count of instructions say nothing."""

    run: Callable[[], object]
    items: int
    moved: int
    variant: tuple[str, str, int] | None = None


def jobs(bricks: Bricks) -> dict[str, Job]:
    """Of every kernel but fit and masks, which gpu.py measures whole, on level 0 of all copies."""
    return predictions(bricks) | coding(bricks) | structure(bricks)


def predictions(bricks: Bricks) -> dict[str, Job]:
    """Along z, where most points are; the mean lattice on made-up shares, with the differences that the values are."""
    values, active, around, targets, _, net, step = bricks.first_pass()
    part, rows = torch.zeros_like(active), values.numel() * 5
    other, n = bricks.targets[5][0], len(targets)

    def job(targets: torch.Tensor, stencil: Stencil, variant: int, **more: torch.Tensor) -> Job:
        run = lambda: predict(values, active, around, targets, stencil, net, step, **more)  # noqa: E731
        return Job(
            run, len(targets), rows * (2 if "gaps" in more else 1) + len(targets) * 13, ("predict", "_predict", variant)
        )

    mean = {"gaps": values, "known": active, "share": part}
    inputs = torch.zeros((n, INPUTS), dtype=torch.int8, device=values.device)
    return {
        "predict, sample, phase 0": job(targets, Stencil(2, 0), 0),
        "predict, sample, phase 1": job(other, Stencil(2, 1), 1),
        "predict, mean, phase 0": job(targets, Stencil(2, 0, mean=True), 3, share=part),
        "predict, mean, phase 1": job(other, Stencil(2, 1, mean=True), 4, **mean),
        "network": Job(lambda: forward(inputs, net), n, n * (INPUTS + 8), ("network", "_forward", 0)),
    }


def coding(bricks: Bricks) -> dict[str, Job]:
    """What follows a prediction, encoding and decoding. Ends the program where symbols do not come back."""
    place, exact = bricks.first_pass(), bricks.tiled("0.exact")
    targets, step, values = place[3], place[-1], torch.empty_like(place[0])
    n, device = len(targets), targets.device
    found, classes = predict(*place)
    residuals = quantise(exact, found, classes, targets, step, values)
    coded, starts = bricks.arrays["coded"], torch.tensor([0, n], device=device)
    symbols = zigzag.symbols(residuals, classes, coded)
    raw = zigzag.raw(residuals, classes, symbols, starts)
    words = torch.zeros(int(raw.sizes[0]) // 32 + 3, dtype=torch.int32, device=device)
    pack(raw.values, raw.at, words)
    plan, codes, slots = _plan(n, device), bricks.arrays["codes"], bricks.slots
    segments = _segments(plan, *encode(codes, classes, symbols, plan))

    def again() -> torch.Tensor:
        fresh = {name: getattr(segments, name).clone() for name in ("states", "at", "seen")}
        return decode(slots, classes, starts, replace(segments, **fresh))

    if not torch.equal(again(), symbols):
        raise SystemExit("symbols do not come back: no figures")
    bits = RawBits(words, torch.zeros(1, dtype=torch.int64, device=device), raw.sizes)
    text = n * 2 + segments.words.numel() * 2
    return {
        "quantise": Job(
            lambda: quantise(exact, found, classes, targets, step, values),
            n,
            n * 28,
            ("quantise", "_quantise", 0),
        ),
        "fold to symbols": Job(lambda: zigzag.symbols(residuals, classes, coded), n, n * 6),
        "pack": Job(lambda: pack(raw.values, raw.at, torch.zeros_like(words)), len(raw.values), len(raw.values) * 16),
        "rans, encode": Job(lambda: encode(codes, classes, symbols, plan), n, text),
        "rans, decode": Job(again, n, text),
        "reconstruct": Job(
            lambda: reconstruct(
                symbols, classes, found, targets, starts, replace(bits, at=bits.at.clone()), step, values
            ),
            n,
            n * 22 + words.numel() * 4,
        ),
    }


def structure(bricks: Bricks) -> dict[str, Job]:
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
    halves = [torch.empty_like(means) for _ in range(2)]
    some = int((flags != 0).sum())
    return {
        "compact": Job(lambda: compact(flags, passes, 6), n * 512, n * 1024 + some * 4),
        "neighbours": Job(
            lambda: neighbours(table, boxes, cells), len(cells), len(cells) * 129, ("neighbours", "_neighbours", 0)
        ),
        "split": Job(lambda: split(means, means, means, pairs, counts, 2, 0, False, *halves), n * 512, n * 512 * 18),
    }


def table(bricks: Bricks, seconds: Callable[[Callable[[], object]], float], bandwidth: float | None) -> list[str]:
    """Lines of the report."""
    device = triton.runtime.driver.active.utils.get_device_properties(0)
    starts = device["multiprocessor_count"] * 4 * device["sm_clock_rate"] * 1e3  # of kHz
    major, minor = torch.cuda.get_device_capability()
    heads = ("kernel", "items", "ms", "M items/s", "bytes", "share of bandwidth", "instructions", "share of issue")
    found = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for name, job in jobs(bricks).items():
        took = seconds(job.run)
        cells = [name, f"{job.items:,}", f"{took * 1e3:.3f}", f"{job.items / took / 1e6:,.0f}", f"{job.moved:,}"]
        cells.append(f"{job.moved / bandwidth / took:.0%}" if bandwidth else "")
        each = row(*job.variant, major * 10 + minor)[-1] if job.variant else None
        cells += [f"{each:g}", f"{each * job.items / starts / took:.0%}"] if each else ["", ""]
        found.append(f"| {' | '.join(cells)} |")
    return found


def _plan(n: int, device: torch.device) -> Plan:
    """One stream of one batch, cut into segments of 32 lanes."""
    count = max(1, n // SEGMENT)
    number = torch.arange(count, dtype=torch.int32, device=device)
    full = lambda value: torch.full_like(number, value)  # noqa: E731
    ends = (number.long() + 1) * n // count
    bounds, begins = torch.tensor([[0, n]], device=device), torch.tensor([0, 1], device=device)
    return Plan(bounds, begins, full(0), number, full(count), full(32), ends)


def _segments(plan: Plan, states: torch.Tensor, words: torch.Tensor, sizes: torch.Tensor) -> Segments:
    ends = sizes.cumsum(0)
    shape = plan.stream, plan.number, plan.count, plan.lanes
    return Segments(*shape, states, words, ends - sizes, ends, torch.zeros_like(ends))
