"""Many small networks trained at once, each on examples of its own; K networks, B examples of a step, T steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.fit.layout import FIRST, INPUTS, OUTPUTS, SECOND, SIZE, Layers, layers, row
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
    "layers",
    "row",
]


@dataclass
class Examples:
    """What networks learn from, of network 0 first, then of network 1, ...; N of them with V inputs altogether.

    inputs: (V,) int16, in 1/16, example after example; target, ratio, scale: (N,) float32, as the loss takes them;
    orders: (K, W, 128) int32, factors: (K, W, 129) float32: for each of W ways to see an example the order of its
    inputs, their factors and that of the target, 0 where a network has no more inputs; places: (K, 3) int64: inputs of
    a network, where its examples begin, where their inputs do.
    """

    inputs: torch.Tensor
    target: torch.Tensor
    ratio: torch.Tensor
    scale: torch.Tensor
    orders: torch.Tensor
    factors: torch.Tensor
    places: torch.Tensor

    def __post_init__(self) -> None:
        checked("inputs", self.inputs, torch.int16, None)
        for name in ("target", "ratio", "scale"):
            checked(name, getattr(self, name), torch.float32, len(self.target))
        checked("places", self.places, torch.int64, None, 3)
        checked("orders", self.orders, torch.int32, len(self.places), None, INPUTS)
        checked("factors", self.factors, torch.float32, *self.orders.shape[:2], INPUTS + 1)


@dataclass
class Learners:
    """Networks in training: weights, and the running means of their slopes and of these squared, (K, 8192) float32 each
    as layout.Layers has them; steps: so many were made."""

    weights: torch.Tensor
    means: torch.Tensor
    squares: torch.Tensor
    steps: int = 0

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
    """bits (T, K) float32, what an example of each step took on average; the learners move on by T steps.

    picks: (T, K, B) int32, numbers of a network's own examples; rates: T times Adam's step size and its first beta.
    Step t sees examples the (t mod W)th way. Raises ValueError on other shapes or types.
    """
    checked("picks", picks, torch.int32, len(rates), len(learners.weights), None)
    checked("places", examples.places, torch.int64, len(learners.weights), 3)
    found = select(__name__, "fit", implementation, picks)(learners, examples, picks, rates)
    learners.steps += len(rates)
    return found
