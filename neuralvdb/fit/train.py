"""Trains the predictor of one phase on the bits it costs (torch), and turns it into integers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from neuralvdb.fit.examples import Examples
from neuralvdb.values.lattice.network import HIDDEN, OUTPUTS, Network

_ONE = 16.0  # an input or activation of 1.0, in integers
_RANGE = 2.0  # float weights are kept within this; the linear path within half of it
_CEILING = 255 / _ONE


class Predictor(nn.Module):
    """The float twin of values.lattice.network; its outputs are an offset in units of 2**exponent and a log2."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        first, second = HIDDEN
        self.first, self.second = nn.Linear(inputs, first), nn.Linear(first, second)
        self.last, self.linear = nn.Linear(second, OUTPUTS), nn.Linear(inputs, OUTPUTS, bias=False)
        for layer in (self.last, self.linear):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.last.bias)
        self.tail = nn.Parameter(torch.tensor([-2.0]))  # share of the wide component of the residual's distribution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 2) outputs of inputs (n, i), both as floats."""
        h = torch.relu(self.first(x)).clamp(max=_CEILING)
        h = torch.relu(self.second(h)).clamp(max=_CEILING)
        return self.last(h) + self.linear(x)


def bits(
    model: Predictor, x: torch.Tensor, target: torch.Tensor, ratio: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """(n,) ideal code lengths: a discretised mixture of two logistic distributions, the second three times as wide."""
    out = model(x)
    residual = (target - out[:, 0]) * ratio
    log_b = (scale + out[:, 1]).clamp(-5, 14)
    share = torch.sigmoid(model.tail)
    p = (1 - share) * _cell(residual, torch.exp2(log_b)) + share * _cell(residual, torch.exp2(log_b) * 3)
    return -torch.log2(p.clamp_min(1e-9))


def train(
    examples: Examples,
    mirrors: list[tuple[np.ndarray, np.ndarray]],
    *,
    steps: int,
    seed: int,
    batch: int = 2048,
    rate: float = 6e-3,
    start: Predictor | None = None,
) -> tuple[Predictor, np.ndarray]:
    """A predictor fitted to the examples by Adam under a one-cycle schedule up to `rate`, and the bits (steps,) float32
    that an example of each step took; mirrors: as in augment.py."""
    torch.manual_seed(seed)
    data = [torch.from_numpy(a) for a in (examples.inputs, examples.target, examples.ratio, examples.scale)]
    model = start or Predictor(examples.inputs.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    ways = [(torch.from_numpy(order), torch.from_numpy(factors)) for order, factors in mirrors]
    history = np.empty(steps, np.float32)
    for turn in range(steps):
        pick = torch.randint(0, len(data[0]), (batch,))
        x, target, ratio, scale = (d[pick] for d in data)
        order, factors = ways[turn % len(ways)]
        x = x[:, order].float() * factors[:-1]
        loss = bits(model, x / _ONE, target * factors[-1], ratio, scale).mean()
        history[turn] = loss.item()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for layer, limit in ((model.first, 1), (model.second, 1), (model.last, 1), (model.linear, 0.5)):
                layer.weight.clamp_(-_RANGE * limit, _RANGE * limit)
    return model, history


def without_hidden(inputs: int) -> Predictor:
    """A predictor whose hidden layers are zeros and stay so: only its linear path and its last biases learn."""
    model = Predictor(inputs)
    with torch.no_grad():
        for parameter in (*model.first.parameters(), *model.second.parameters()):
            parameter.zero_().requires_grad_(False)
    model.last.weight.requires_grad_(False)
    return model


def to_floats(net: Network) -> Predictor:
    """The predictor that to_integers() would make an integer network of."""
    model, shifts = Predictor(net.w1.shape[1]), net.shifts.astype(np.float64)
    units = np.array([4, 0])  # as in to_integers()
    last, line = (2.0 ** (shifts[i : i + OUTPUTS] + units) for i in (2, 4))
    parts = (
        (model.first.weight, net.w1 / 2.0 ** shifts[0]),
        (model.first.bias, net.b1 / 2.0 ** shifts[0] / _ONE),
        (model.second.weight, net.w2 / 2.0 ** shifts[1]),
        (model.second.bias, net.b2 / 2.0 ** shifts[1] / _ONE),
        (model.last.weight, net.w3 / last[:, None]),
        (model.last.bias, net.b3 / last / _ONE),
        (model.linear.weight, net.linear / line[:, None]),
    )
    with torch.no_grad():
        for parameter, values in parts:
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
    return model


def to_integers(model: Predictor) -> Network:
    """The integer network nearest to a trained one."""
    w1, b1, s1 = _rounded(model.first.weight, model.first.bias, _ONE)
    w2, b2, s2 = _rounded(model.second.weight, model.second.bias, _ONE)
    last, line = [], []
    for row, unit in ((0, 4), (1, 0)):  # offsets come in 1/256, logarithms in 1/16
        last.append(_rounded(model.last.weight[row : row + 1], model.last.bias[row : row + 1], _ONE, unit))
        line.append(_rounded(model.linear.weight[row : row + 1], torch.zeros(1), _ONE, unit))
    join = lambda parts, i: np.concatenate([part[i] for part in parts])  # noqa: E731
    shifts = np.array([s1, s2, *(part[2] for part in last), *(part[2] for part in line)], np.int8)
    return Network(w1, b1, w2, b2, join(last, 0), join(last, 1), join(line, 0), shifts)


def _rounded(weight: torch.Tensor, bias: torch.Tensor, one: float, unit: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights int8, biases int32 and the shift of a layer whose results are wanted times 2**unit."""
    largest = float(weight.detach().abs().max())
    power = min(12, math.floor(math.log2(127 / largest))) if largest else 12
    power = max(power, unit)
    scaled = torch.round(weight * 2**power).clamp(-127, 127)
    return (
        scaled.detach().numpy().astype(np.int8),
        torch.round(bias * one * 2**power).detach().numpy().astype(np.int32),
        power - unit,
    )


def _cell(residual: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Probability of the unit cell around a residual under a logistic distribution of scale b."""
    r = residual.abs()
    return torch.sigmoid((0.5 - r) / b) - torch.sigmoid((-0.5 - r) / b)
