"""Many small networks trained at once, each on examples of its own.

Letters: K networks, B examples of an iteration, T iterations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.fit.layout import FIRST, INPUTS, OUTPUTS, SECOND, SIZE, Layers, flatten, layers
from neuralvdb.kernels.fit.reference import ONE

__all__ = [
    "FIRST",
    "INPUTS",
    "ONE",
    "OUTPUTS",
    "SECOND",
    "SIZE",
    "Examples",
    "Layers",
    "Learners",
    "fit",
    "flatten",
    "layers",
]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """N examples with V inputs altogether: those of network 0 first, then those of network 1, ...

    inputs: (V,) int16, in 1/16, example after example;
    target, ratio, scale: (N,) float32, as the loss takes them;
    orders: (K, W, 128) int32, for each of W ways to see an example the order of its inputs;
    factors: (K, W, 129) float32, the factors of these inputs and of the target, 0 where a network has no more inputs;
    extents: (K, 3) int64, inputs of a network, where its examples begin, where their inputs begin.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    ratio: torch.Tensor
    scale: torch.Tensor
    orders: torch.Tensor
    factors: torch.Tensor
    extents: torch.Tensor

    def __post_init__(self) -> None:
        checked("inputs", self.inputs, torch.int16, None)
        for name in ("target", "ratio", "scale"):
            checked(name, getattr(self, name), torch.float32, len(self.target))
        checked("extents", self.extents, torch.int64, None, 3)
        checked("orders", self.orders, torch.int32, len(self.extents), None, INPUTS)
        checked("factors", self.factors, torch.float32, *self.orders.shape[:2], INPUTS + 1)


@dataclass(kw_only=True)
class Learners:
    """Networks in training.

    weights: (K, 8192) float32, as layout.Layers has them;
    means, squares: the same of the running means of their slopes, and of these squared;
    iterations: so many were made.
    """

    weights: torch.Tensor
    means: torch.Tensor
    squares: torch.Tensor
    iterations: int = 0

    def __post_init__(self) -> None:
        for name in ("weights", "means", "squares"):
            checked(name, getattr(self, name), torch.float32, len(self.weights), SIZE)


def fit(
    learners: Learners,
    examples: Examples,
    picks: torch.Tensor,
    rates: list[tuple[float, float]],
    *,
    implementation: str = "auto",
) -> torch.Tensor:
    """bits (T, K) float32 that an example of each iteration took on average; the learners move on by T iterations.

    picks: (T, K, B) int32, numbers of a network's own examples;
    rates: T times Adam's step size and its first beta.

    Iteration t sees examples the (t mod W)th way. Raises ValueError on other shapes or types.
    """
    checked("picks", picks, torch.int32, len(rates), len(learners.weights), None)
    checked("extents", examples.extents, torch.int64, len(learners.weights), 3)
    bits: torch.Tensor = select(__name__, "fit", implementation, picks)(learners, examples, picks, rates)
    learners.iterations += len(rates)
    return bits
