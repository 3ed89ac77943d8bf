"""Examples to train predictors on: inputs as a decoder has them, and the values to be predicted. n examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.coding import Phase
from neuralvdb.values.lattice.points import Points


@dataclass(frozen=True)
class Examples:
    """Examples of one network.

    inputs: (n, i) int16.
    target: (n,) float32, distance from the interpolation in units of 2**exponent.
    ratio: (n,) float32, 2**exponent over the quantisation step.
    scale: (n,) float32, log2 of the scale of what is around, over the quantisation step.
    """

    inputs: np.ndarray
    target: np.ndarray
    ratio: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def select(self, which: slice | np.ndarray) -> Examples:
        """Those that an index picks."""
        return Examples(self.inputs[which], self.target[which], self.ratio[which], self.scale[which])


@dataclass(frozen=True)
class Sample:
    """Examples of a network's residuals, and how many residuals they stand for."""

    examples: Examples
    count: int

    @property
    def weight(self) -> float:
        """Residuals that an example stands for."""
        return self.count / len(self.examples)

    def thinned(self, limit: int) -> Sample:
        """At most `limit` of the examples, evenly spread, which stand for as many residuals."""
        every = max(1, math.ceil(len(self.examples) / limit))
        return Sample(self.examples.select(slice(None, None, every)), self.count)


def joined(examples: Sequence[Examples]) -> Examples:
    """All examples of one network together."""
    return Examples(*(np.concatenate([getattr(each, field.name) for each in examples]) for field in fields(Examples)))


def examples_of(phase: Phase, points: Points) -> Examples:
    """Examples of some points of a phase."""
    inputs = phase.view.inputs(points, phase.coding)
    unit = np.exp2(inputs.exponent)
    return Examples(
        inputs=inputs.inputs,
        target=((phase.true(points) - inputs.base) / unit).astype(np.float32),
        ratio=(unit / phase.coding.quant_step).astype(np.float32),
        scale=(inputs.scale / 16).astype(np.float32),
    )
