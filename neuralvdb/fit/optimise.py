"""Trains predictors on the bits they cost, and turns them into integers; neuralvdb.kernels.fit is what trains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from neuralvdb.errors import OutOfMemory
from neuralvdb.fit.examples import Examples
from neuralvdb.kernels import fit
from neuralvdb.kernels.fit import FIRST, INPUTS, ONE, OUTPUTS, SECOND, SIZE, Layers, Learners, layers, row
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice.schedule import NetworkKey

Trained = tuple[NetworkKey, Layers, np.ndarray]  # key, network, bits of each step
_TAIL = -2.0  # of a share, before the sigmoid, to begin with
_STEPS = 64  # for which examples are drawn at a time


@dataclass(frozen=True)
class Job:
    """A network to train: its examples, ways to mirror them as in augment.py, and what it starts from, if not from
    random weights."""

    examples: Examples
    ways: list[tuple[np.ndarray, np.ndarray]]
    start: Layers | None = None


def train(
    jobs: dict[NetworkKey, Job], *, steps: int, seed: int, rate: float = 6e-3, device: str = "cpu"
) -> Iterator[Trained]:
    """Networks fitted to their examples, and the bits (steps,) float32 that an example of each step took; on the CPU
    one after the other, on a GPU all at once. Raises OutOfMemory where that does not fit."""
    groups = [[key] for key in jobs] if device == "cpu" else [list(jobs)] * bool(jobs)
    for group in groups:
        try:
            found = together([jobs[key] for key in group], steps=steps, seed=seed, rate=rate, device=device)
        except torch.OutOfMemoryError:
            raise OutOfMemory(
                f"{device}: {len(group)} networks and their examples do not fit; use --device cpu"
            ) from None
        for key, (net, bits) in zip(group, found, strict=True):
            yield key, net, bits


def together(
    jobs: list[Job], *, steps: int, seed: int, batch: int = 2048, rate: float = 6e-3, device: str = "cpu"
) -> list[tuple[Layers, np.ndarray]]:
    """Networks fitted by Adam under a one-cycle schedule up to `rate`, and bits (steps,); the same ones whatever they
    are trained beside, because each draws its examples on the CPU from the seed alone."""
    rows, draws = [], []
    for job in jobs:
        torch.manual_seed(seed)
        rows.append(row(job.start or _random(job.examples.inputs.shape[1])))
        draws.append(torch.Generator())
        draws[-1].set_state(torch.get_rng_state())
    weights, examples, bits = torch.stack(rows).to(device), laid_out(jobs, device), []
    learners = Learners(weights=weights, means=torch.zeros_like(weights), squares=torch.zeros_like(weights))
    rates = _rates(steps, rate)
    for some in (rates[i : i + _STEPS] for i in range(0, steps, _STEPS)):
        picks = [
            torch.randint(0, len(job.examples.target), (len(some), batch), generator=draw)
            for job, draw in zip(jobs, draws, strict=True)
        ]
        bits.append(fit.fit(learners, examples, torch.stack(picks, 1).to(torch.int32).to(device), some))
    history = torch.cat(bits).T.contiguous().cpu().numpy()
    widths = [job.examples.inputs.shape[1] for job in jobs]
    nets = [layers(mine.clone(), width) for mine, width in zip(learners.weights.cpu(), widths, strict=True)]
    return list(zip(nets, history, strict=True))


def laid_out(jobs: list[Job], device: str) -> fit.Examples:
    """Examples of all jobs as the kernel takes them."""
    values = {
        name: torch.cat([torch.from_numpy(getattr(job.examples, name)).flatten() for job in jobs]).to(device)
        for name in Examples.__dataclass_fields__
    }
    count, ways = len(jobs), len(jobs[0].ways)
    orders, factors = np.zeros((count, ways, INPUTS), np.int32), np.zeros((count, ways, INPUTS + 1), np.float32)
    places, number, value = [], 0, 0
    for k, job in enumerate(jobs):
        n, width = job.examples.inputs.shape
        for way, (order, factor) in enumerate(job.ways):
            orders[k, way, :width], factors[k, way, :width], factors[k, way, -1] = order, factor[:-1], factor[-1]
        places.append((width, number, value))
        number, value = number + n, value + n * width
    return fit.Examples(
        **values,
        orders=torch.from_numpy(orders).to(device),
        factors=torch.from_numpy(factors).to(device),
        places=torch.from_numpy(np.array(places, np.int64)).to(device),
    )


def without_hidden(inputs: int) -> Layers:
    """A network of zeros, of which only the linear path and the last biases learn: no slope reaches other layers."""
    net = layers(torch.zeros(SIZE), inputs)
    net.tail.fill_(_TAIL)
    return net


def to_floats(net: Network) -> Layers:
    """The network that to_integers() would make an integer network of."""
    shifts = 2.0 ** net.shifts.astype(np.float64)
    last, line = (shifts[i : i + OUTPUTS] * (16, 1) for i in (2, 4))  # units as in to_integers()
    parts = (
        net.w1 / shifts[0],
        net.linear / line[:, None],
        net.w2 / shifts[1],
        net.w3 / last[:, None],
        net.b1 / shifts[0] / ONE,
        net.b2 / shifts[1] / ONE,
        net.b3 / last / ONE,
        np.array([_TAIL]),
    )
    return Layers(*(torch.from_numpy(part).float() for part in parts))


def to_integers(net: Layers) -> Network:
    """The integer network nearest to a trained one."""
    w1, b1, s1 = _rounded(net.w1, net.b1, ONE)
    w2, b2, s2 = _rounded(net.w2, net.b2, ONE)
    last, line = [], []
    for i, unit in ((0, 4), (1, 0)):  # offsets come in 1/256, logarithms in 1/16
        last.append(_rounded(net.w3[i : i + 1], net.b3[i : i + 1], ONE, unit))
        line.append(_rounded(net.linear[i : i + 1], torch.zeros(1), ONE, unit))
    join = lambda parts, i: np.concatenate([part[i] for part in parts])  # noqa: E731
    shifts = np.array([s1, s2, *(part[2] for part in last), *(part[2] for part in line)], np.int8)
    return Network(w1, b1, w2, b2, join(last, 0), join(last, 1), join(line, 0), shifts)


def _random(inputs: int) -> Layers:
    """A network that adds nothing to the interpolation, its hidden layers as PyTorch begins them; what begins at 0 is
    drawn too, so that a seed gives what it always gave."""
    first, second, last = nn.Linear(inputs, FIRST), nn.Linear(FIRST, SECOND), nn.Linear(SECOND, OUTPUTS)
    path = nn.Linear(inputs, OUTPUTS, bias=False)
    linear, w3, b3 = (torch.zeros_like(part) for part in (path.weight, last.weight, last.bias))
    parts = first.weight, linear, second.weight, w3, first.bias, second.bias, b3, torch.tensor([_TAIL])
    return Layers(*(part.detach() for part in parts))


def _rates(steps: int, rate: float) -> list[tuple[float, float]]:
    """Step size and first beta of each step: Smith's one cycle, as PyTorch has it."""
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    found = []
    for _ in range(steps):
        group = optimiser.param_groups[0]
        found.append((group["lr"], group["betas"][0]))
        optimiser.step()
        schedule.step()
    return found


def _rounded(weight: torch.Tensor, bias: torch.Tensor, one: float, unit: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights int8, biases int32 and the shift of a layer whose results are wanted times 2**unit."""
    largest = float(weight.abs().max())
    power = min(12, math.floor(math.log2(127 / largest))) if largest else 12
    power = max(power, unit)
    scaled = torch.round(weight * 2**power).clamp(-127, 127)
    return (
        scaled.numpy().astype(np.int8),
        torch.round(bias * one * 2**power).numpy().astype(np.int32),
        power - unit,
    )
