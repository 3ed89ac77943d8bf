"""The definition of training, in plain torch: one network after the other.

    h1  = clip(W1 x + b1, 0, C)       C = 255/16, as the integer network has it
    h2  = clip(W2 h1 + b2, 0, C)
    out = W3 h2 + b3 + L x

    r = |(target - out0) ratio|,  b = 2^clip(scale + out1, -5, 14),  a = sigmoid(tail)
    p = (1 - a) cell(r, b) + a cell(r, 3 b),  cell(r, b) = sigmoid((0.5 - r) / b) - sigmoid((-0.5 - r) / b)
    loss = mean of -log2 max(p, 1e-9)

The loss is the ideal code length of a residual: the unit cell around it under a mixture of two logistic distributions,
the second three times as wide. Its gradient is shortened to a length of 1 where it is longer (Pascanu et al. 2013),
then comes a step of Adam (Kingma and Ba 2014), then weights are brought back to what the integer network can hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear
from torch.nn.utils import clip_grad_norm_

from neuralvdb.kernels.fit.layout import Layers, layers

if TYPE_CHECKING:
    from neuralvdb.kernels.fit import Examples, Learners

ONE = 16.0  # an input or activation of 1.0, in integers
CEILING = 255 / ONE
RANGE = 2.0  # weights are kept within this; the linear path within half of it
BETA, EPSILON = 0.999, 1e-8  # Adam's second beta; its first one goes with the rate


def fit(learners: Learners, examples: Examples, picks: torch.Tensor, rates: list[tuple[float, float]]) -> torch.Tensor:
    """bits (T, K) float32; arguments as in the package."""
    losses = torch.empty(picks.shape[:2], dtype=torch.float32, device=picks.device)
    for k in range(len(learners.weights)):
        for t, (rate, beta) in enumerate(rates):
            losses[t, k], slopes = gradient(learners, examples, k, learners.iterations + t, picks[t, k].long())
            _step(learners, k, learners.iterations + t + 1, slopes, rate, beta)
            _clamp(layers(learners.weights[k], int(examples.extents[k, 0])))
    return losses


def gradient(
    learners: Learners, examples: Examples, k: int, step: int, pick: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of network k for the examples `pick` (B,), seen as in that step, and its shortened gradient in the
    order of a row."""
    batch = _batch(examples, k, step, pick)
    net = Layers(*(array.clone().requires_grad_() for array in layers(learners.weights[k], batch[0].shape[1]).all()))
    loss = bits(net, *batch).mean()
    loss.backward()
    clip_grad_norm_([net.tail, net.w1, net.b1, net.w2, net.b2, net.w3, net.b3, net.linear], 1.0)
    return loss.detach(), torch.cat([array.grad.flatten() for array in net.all()])


def bits(net: Layers, x: torch.Tensor, target: torch.Tensor, ratio: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(n,) ideal code lengths of residuals for inputs x (n, i)."""
    h = torch.relu(linear(x, net.w1, net.b1)).clamp(max=CEILING)
    h = torch.relu(linear(h, net.w2, net.b2)).clamp(max=CEILING)
    out = linear(h, net.w3, net.b3) + linear(x, net.linear)
    residual = (target - out[:, 0]) * ratio
    log_b = (scale + out[:, 1]).clamp(-5, 14)
    share = torch.sigmoid(net.tail)
    p = (1 - share) * _cell(residual, torch.exp2(log_b)) + share * _cell(residual, torch.exp2(log_b) * 3)
    return -torch.log2(p.clamp_min(1e-9))


def _cell(residual: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Probability of the unit cell around a residual under a logistic distribution of scale b."""
    r = residual.abs()
    return torch.sigmoid((0.5 - r) / b) - torch.sigmoid((-0.5 - r) / b)


def _batch(examples: Examples, k: int, step: int, pick: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Inputs (B, i), targets, ratios and scales (B,) of examples of network k in one of the ways to see them."""
    width, first, begin = examples.extents[k].tolist()
    end = int(examples.extents[k + 1, 1]) if k + 1 < len(examples.extents) else len(examples.target)
    target, ratio, scale = (array[first:end][pick] for array in (examples.target, examples.ratio, examples.scale))
    way = step % examples.orders.shape[1]
    order, factors = examples.orders[k, way, :width].long(), examples.factors[k, way]
    x = examples.inputs[begin : begin + (end - first) * width].view(-1, width)[pick]
    return x[:, order].float() * factors[:width] / ONE, target * factors[-1], ratio, scale


def _step(learners: Learners, k: int, number: int, slopes: torch.Tensor, rate: float, beta: float) -> None:
    """Adam's step of this number, from 1 on."""
    weights, mean, square = (array[k, : len(slopes)] for array in (learners.weights, learners.means, learners.squares))
    mean.lerp_(slopes, 1 - beta)
    square.mul_(BETA).addcmul_(slopes, slopes, value=1 - BETA)
    size = (square.sqrt() / (1 - BETA**number) ** 0.5).add_(EPSILON)
    weights.addcdiv_(mean, size, value=-rate / (1 - beta**number))


def _clamp(net: Layers) -> None:
    for weights, limit in ((net.w1, RANGE), (net.w2, RANGE), (net.w3, RANGE), (net.linear, RANGE / 2)):
        weights.clamp_(-limit, limit)
