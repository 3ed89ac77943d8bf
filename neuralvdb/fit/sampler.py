"""What an encoding of a grid meets, sampled."""

from __future__ import annotations

import math

import numpy as np

from neuralvdb.fit.examples import Examples, Sample, examples_of, joined
from neuralvdb.values.lattice.coding import Phase
from neuralvdb.values.lattice.pass_order import NetworkKey


class Sampler:
    """An observer of an encoder, which samples residuals of the networks of the finest `levels`.

    About `limit` examples of each network, spread evenly over a tree's `leaves` and `components`.
    """

    def __init__(self, leaves: int, components: int, limit: int, levels: int) -> None:
        self._levels = levels
        self._share, self._rng = limit / (leaves * components), np.random.default_rng(0)
        self._examples: dict[NetworkKey, list[Examples]] = {}
        self._counts: dict[NetworkKey, int] = {}

    def __call__(self, phase: Phase) -> None:
        """Takes examples of a phase that is about to be coded."""
        key, points = phase.coding.network, phase.points
        self._counts[key] = self._counts.get(key, 0) + len(points)
        if len(points) and key.level < self._levels:
            limit = math.ceil(self._share * phase.leaves)
            which = np.sort(self._rng.permutation(len(points))[:limit])
            self._examples.setdefault(key, []).append(examples_of(phase, points[which]))

    def samples(self) -> dict[NetworkKey, Sample]:
        """What was met, by network."""
        return {key: Sample(joined(examples), self._counts[key]) for key, examples in sorted(self._examples.items())}
