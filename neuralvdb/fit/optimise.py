"""Trains predictors on the bits they cost, and turns them into integers; neuralvdb.kernels.fit does the steps.

Letters in shapes: T iterations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import OutOfMemory
from neuralvdb.fit.augment import Mirror
from neuralvdb.fit.examples import Examples
from neuralvdb.kernels import fit
from neuralvdb.kernels.fit import FIRST, INPUTS, ONE, OUTPUTS, SECOND, SIZE, Layers, Learners, flatten, layers
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice.pass_order import NetworkKey

_TAIL = -2.0  # of a share, before the sigmoid, to begin with
_RISE = 0.3  # of a cycle, in which steps grow
_DRAWN_ITERATIONS = 64  # for which examples are drawn at a time


@dataclass(frozen=True)
class Job:
    """A network to train: its examples, the ways to mirror them, and where it starts, if not from random weights."""

    examples: Examples
    mirrors: Sequence[Mirror]
    start: Layers | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How networks are trained.

    iterations: of the optimiser.
    seed: of the examples that it draws, and of random weights.
    rate: the largest step size of Adam, under a one-cycle schedule.
    batch: examples of an iteration.
    device: "cpu", or such as "cuda:0".
    """

    iterations: int
    seed: int
    rate: float = 6e-3
    batch: int = 2048
    device: str = "cpu"


@dataclass(frozen=True)
class Trained:
    """A trained network, and the bits (T,) float32 that an example of each iteration took."""

    layers: Layers
    bits: np.ndarray


def optimise(jobs: Mapping[NetworkKey, Job], schedule: Schedule) -> Iterator[tuple[NetworkKey, Trained]]:
    """Networks trained on their examples: on the CPU one after the other, on a GPU all at once.

    Raises OutOfMemory where they and their examples do not fit.
    """
    groups = [[key] for key in jobs] if schedule.device == "cpu" else [list(jobs)] * bool(jobs)
    for group in groups:
        try:
            trained = optimise_together([jobs[key] for key in group], schedule)
        except torch.OutOfMemoryError:
            raise OutOfMemory(
                f"{schedule.device}: {len(group)} networks and their examples do not fit; use --device cpu"
            ) from None
        yield from zip(group, trained, strict=True)


def optimise_together(jobs: Sequence[Job], schedule: Schedule) -> list[Trained]:
    """Networks trained at once. They come out the same whatever they are trained beside, because each draws its
    examples on the CPU from the seed alone."""
    rows, generators = [], []
    for job in jobs:
        torch.manual_seed(schedule.seed)
        rows.append(flatten(job.start or _random(job.examples.inputs.shape[1])))
        generators.append(torch.Generator())
        generators[-1].set_state(torch.get_rng_state())
    weights = torch.stack(rows).to(schedule.device)
    learners = Learners(weights=weights, means=torch.zeros_like(weights), squares=torch.zeros_like(weights))
    examples, bits, rates = laid_out(jobs, schedule.device), [], one_cycle(schedule)
    for begin in range(0, schedule.iterations, _DRAWN_ITERATIONS):
        some_rates = rates[begin : begin + _DRAWN_ITERATIONS]
        picks = [
            torch.randint(0, len(job.examples), (len(some_rates), schedule.batch), generator=generator)
            for job, generator in zip(jobs, generators, strict=True)
        ]
        drawn = torch.stack(picks, 1).to(torch.int32).to(schedule.device)
        bits.append(fit.fit(learners, examples, drawn, some_rates))
    history = torch.cat(bits).T.contiguous().cpu().numpy()
    trained = zip(jobs, learners.weights.cpu(), history, strict=True)
    return [Trained(layers(weights.clone(), job.examples.inputs.shape[1]), bits) for job, weights, bits in trained]


def laid_out(jobs: Sequence[Job], device: str) -> fit.Examples:
    """Examples of all jobs as the kernel takes them."""

    def joined(name: str) -> torch.Tensor:
        return torch.cat([torch.from_numpy(getattr(job.examples, name)).flatten() for job in jobs]).to(device)

    count, ways = len(jobs), len(jobs[0].mirrors)
    orders, factors = np.zeros((count, ways, INPUTS), np.int32), np.zeros((count, ways, INPUTS + 1), np.float32)
    extents, example, value = np.zeros((count, 3), np.int64), 0, 0
    for k, job in enumerate(jobs):
        n, width = job.examples.inputs.shape
        for way, mirror in enumerate(job.mirrors):
            orders[k, way, :width] = mirror.order
            factors[k, way, :width], factors[k, way, -1] = mirror.factors[:-1], mirror.factors[-1]
        extents[k] = width, example, value
        example, value = example + n, value + n * width
    return fit.Examples(
        inputs=joined("inputs"),
        target=joined("target"),
        ratio=joined("ratio"),
        scale=joined("scale"),
        orders=torch.from_numpy(orders).to(device),
        factors=torch.from_numpy(factors).to(device),
        extents=torch.from_numpy(extents).to(device),
    )


def without_hidden(inputs: int) -> Layers:
    """A network of zeros, of which only the linear path and the last biases learn: no slope reaches other layers."""
    net = layers(torch.zeros(SIZE), inputs)
    net.tail.fill_(_TAIL)
    return net


def to_floats(net: Network) -> Layers:
    """The network that to_integers() would make an integer network of."""
    shifts = 2.0 ** net.shifts.astype(np.float64)
    last, linear = (shifts[i : i + OUTPUTS] * (16, 1) for i in (2, 4))  # units as in to_integers()

    def scaled(weights: np.ndarray, by: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(weights / by).float()

    return Layers(
        w1=scaled(net.w1, shifts[0]),
        linear=scaled(net.linear, linear[:, None]),
        w2=scaled(net.w2, shifts[1]),
        w3=scaled(net.w3, last[:, None]),
        b1=scaled(net.b1, shifts[0] * ONE),
        b2=scaled(net.b2, shifts[1] * ONE),
        b3=scaled(net.b3, last * ONE),
        tail=torch.tensor([_TAIL]),
    )


def to_integers(net: Layers, units: Sequence[int] = (4, 0)) -> Network:
    """The integer network nearest to a trained one.

    units: by how many bits each output is finer than 1/16; offsets come in 1/256, logarithms in 1/16.
    """
    first, second = _Rounded.of(net.w1, net.b1), _Rounded.of(net.w2, net.b2)
    last = [_Rounded.of(net.w3[i : i + 1], net.b3[i : i + 1], unit) for i, unit in enumerate(units)]
    linear = [_Rounded.of(net.linear[i : i + 1], torch.zeros(1), unit) for i, unit in enumerate(units)]
    return Network(
        w1=first.weights,
        b1=first.biases,
        w2=second.weights,
        b2=second.biases,
        w3=np.concatenate([output.weights for output in last]),
        b3=np.concatenate([output.biases for output in last]),
        linear=np.concatenate([output.weights for output in linear]),
        shifts=np.array([each.shift for each in (first, second, *last, *linear)], np.int8),
    )


def _random(inputs: int) -> Layers:
    """A network that adds nothing to the interpolation, its hidden layers as PyTorch begins them. What begins at 0 is
    drawn too, so that a seed gives what it always gave."""
    first, second, last = nn.Linear(inputs, FIRST), nn.Linear(FIRST, SECOND), nn.Linear(SECOND, OUTPUTS)
    path = nn.Linear(inputs, OUTPUTS, bias=False)
    return Layers(
        w1=first.weight.detach(),
        linear=torch.zeros_like(path.weight),
        w2=second.weight.detach(),
        w3=torch.zeros_like(last.weight),
        b1=first.bias.detach(),
        b2=second.bias.detach(),
        b3=torch.zeros_like(last.bias),
        tail=torch.tensor([_TAIL]),
    )


def one_cycle(schedule: Schedule) -> list[tuple[float, float]]:
    """Step size and first beta of each iteration: Smith's one cycle, the floats of torch's OneCycleLR.

    torch.optim would load torch's compiler for it, which takes two seconds and writes files.
    """
    last = schedule.iterations - 1
    turn = _RISE * schedule.iterations - 1
    low, high = schedule.rate / 25, schedule.rate
    rates = []
    for i in range(schedule.iterations):
        if i <= turn:
            rates.append((_on_cosine(low, high, i / turn), _on_cosine(0.95, 0.85, i / turn)))
        else:
            share = (i - turn) / (last - turn)
            rates.append((_on_cosine(high, low / 1e4, share), _on_cosine(0.85, 0.95, share)))
    return rates


def _on_cosine(start: float, end: float, share: float) -> float:
    """From start to end on half a wave."""
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


@dataclass(frozen=True)
class _Rounded:
    """A layer in integers: weights int8, biases int32, and how far its sums are shifted right."""

    weights: np.ndarray
    biases: np.ndarray
    shift: int

    @staticmethod
    def of(weight: torch.Tensor, bias: torch.Tensor, unit: int = 0) -> _Rounded:
        """A layer whose results are wanted times 2**unit."""
        largest = float(weight.abs().max())
        power = min(12, math.floor(math.log2(127 / largest))) if largest else 12
        power = max(power, unit)
        weights = torch.round(weight * 2**power).clamp(-127, 127).numpy().astype(np.int8)
        return _Rounded(weights, torch.round(bias * ONE * 2**power).numpy().astype(np.int32), power - unit)
