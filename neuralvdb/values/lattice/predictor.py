"""Predictions of whole phases, by the definition in NumPy or by its fast twin in C++: the same integers."""

from __future__ import annotations

import numpy as np

from neuralvdb.values import _lattice
from neuralvdb.values.lattice import mean, mean_inputs, network
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.mean_pyramid import AXES
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.sample_inputs import context
from neuralvdb.values.lattice.schedule import network_key
from neuralvdb.values.lattice.steps import STEPS


class _Networks:
    """Networks of one family and how to run them. implementation: "native", "floats", which is that without products of
    bytes, or "reference"."""

    def __init__(
        self, networks: dict[tuple[int, int, int], Network], *, threads: int = 1, implementation: str = "native"
    ) -> None:
        self._networks = networks
        self._threads = threads
        self._phase = self._reference if implementation == "reference" else self._native
        self._prepared = {key: (*_floats(net), implementation == "floats") for key, net in networks.items()}


class Predictor(_Networks):
    """The networks of one family, callable for a phase. networks: {(level up to 2, axis, phase): Network}.

    inside: whether only active points are looked at; implementation: "native", "floats" or "reference".
    """

    def __init__(self, networks: dict[tuple[int, int, int], Network], *, inside: bool = False, **options) -> None:
        super().__init__(networks, **options)
        self.inside = inside

    def __call__(
        self, level: LatticeLevel, row: np.ndarray, place: np.ndarray, k: int, axis: int, phase: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predictions (n,) int32 in lattice units and classes (n,) uint8 of points of level k."""
        return self._phase(level, row, place, network_key(k, axis, phase), STEPS[k])

    def _reference(
        self, level: LatticeLevel, row: np.ndarray, place: np.ndarray, key: tuple[int, int, int], step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return network.predict(self._networks[key], context(level, row, place, *key[1:], step, self.inside))

    def _native(
        self, level: LatticeLevel, row: np.ndarray, place: np.ndarray, key: tuple[int, int, int], step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        predictions, classes = np.empty(len(row), np.int32), np.empty(len(row), np.uint8)
        _lattice.predict(
            level.table,
            level.cells.astype(np.int32),
            level.values,
            level.active,
            row,
            place,
            *key[1:],
            step,
            self.inside,
            self._prepared[key],
            self._threads,
            predictions,
            classes,
        )
        return predictions, classes


class MeanPredictor(_Networks):
    """Likewise for the mean lattice. networks: {(floor // 3 up to 2, axis, phase): Network}."""

    def __call__(
        self,
        level: LatticeLevel,
        gaps: LatticeLevel,
        share: np.ndarray,
        row: np.ndarray,
        place: np.ndarray,
        j: int,
        phase: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predicted differences (n,) int32 in lattice units and classes (n,) uint8 of cells to be split to floor j."""
        key = network_key(j // 3, AXES[j % 3], phase)
        return self._phase(level, gaps, share, row, place, key, mean.STEPS[j])

    def _reference(self, level, gaps, share, row, place, key, step) -> tuple[np.ndarray, np.ndarray]:
        seen = mean_inputs.context(level, gaps, share, row, place, *key[1:], step)
        return network.predict(self._networks[key], seen)

    def _native(self, level, gaps, share, row, place, key, step) -> tuple[np.ndarray, np.ndarray]:
        predictions, classes = np.empty(len(row), np.int32), np.empty(len(row), np.uint8)
        _lattice.predict_mean(
            level.table,
            level.cells.astype(np.int32),
            level.values,
            level.active,
            gaps.values,
            gaps.active,
            share,
            row,
            place,
            *key[1:],
            step,
            self._prepared[key],
            self._threads,
            predictions,
            classes,
        )
        return predictions, classes


def _floats(net: Network) -> tuple:
    arrays = (net.w1, net.b1, net.w2, net.b2, net.w3, net.b3, net.linear)
    return (*(np.ascontiguousarray(a, np.float32) for a in arrays), [int(s) for s in net.shifts])
