"""The integer network over all examples, in floats that hold every sum exactly. Twin of nets/network.py.

Every layer's results are kept, so that after a change of one hidden unit only what follows from it is computed again.
Letters in shapes: n examples.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.fit.deltas import Deltas
from neuralvdb.fit.quadratic import Features
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice.constants import ONE
from neuralvdb.values.lattice.network_changes import FIRST, OFFSET, SCALE, SECOND

_TOP = 255  # of an activation


class Replay:
    """What a network with changed weights gives for inputs (n, i).

    outputs: (n, 2) float64, whole numbers. The weights are those of `deltas` whenever one of the methods runs.
    """

    def __init__(self, net: Network, inputs: np.ndarray, deltas: Deltas) -> None:
        self._inputs, self._deltas = inputs.astype(np.float64), deltas
        self._scales = 2.0 ** -net.shifts.astype(np.float64)
        self.run()

    def run(self) -> None:
        """Everything again, from the first layer on."""
        self._sums1 = self._sums(FIRST, self._inputs)
        self._hidden1 = _activated(self._sums1, self._scales[FIRST])
        self._sums2 = self._sums(SECOND, self._hidden1)
        self._run_outputs_of_second()

    def run_unit(self, group: int, unit: int, features: Features) -> None:
        """Only what follows from a hidden unit; features: its hidden_features()."""
        sums = features.values @ self._deltas.weights(group)[self._deltas.unit(group, unit)]
        if group == SECOND:
            self._sums2[:, unit] = sums
        else:
            before = self._hidden1[:, unit].copy()
            self._sums1[:, unit] = sums
            self._hidden1[:, unit] = _activated(sums, self._scales[FIRST])
            difference = (self._hidden1[:, unit] - before)[:, None]
            self._sums2 += difference * self._deltas.matrix(SECOND)[:, unit]
        self._run_outputs_of_second()

    def run_outputs(self) -> None:
        """Only what the last layer and the linear path give."""
        columns, units = [], self._deltas.units[1]
        for group in (OFFSET, SCALE):
            weights, output = self._deltas.weights(group), group - OFFSET
            last = self._hidden2 @ weights[:units] + weights[units] * ONE
            linear = self._inputs @ weights[units + 1 :]
            columns.append(np.floor(last * self._scales[2 + output]) + np.floor(linear * self._scales[4 + output]))
        self.outputs = np.stack(columns, 1)

    def output_features(self) -> np.ndarray:
        """(n, P) float64: what the weights of an output are multiplied by, in their order."""
        return np.concatenate([self._hidden2, self._ones(), self._inputs], 1)

    def output_scale(self, group: int) -> np.ndarray:
        """(P,) float64: what each product is worth in the output of a group."""
        output, inputs = group - OFFSET, self._inputs.shape[1]
        return np.repeat(self._scales[[2 + output, 4 + output]], [self._deltas.units[1] + 1, inputs])

    def hidden_features(self, group: int) -> Features:
        """What the weights and, last, the bias of each unit of a hidden layer are multiplied by."""
        below = self._inputs if group == FIRST else self._hidden1
        values = np.concatenate([below, self._ones()], 1)
        return Features(values, np.ones(values.shape[1]))

    def hidden_slopes(self, group: int, unit: int) -> np.ndarray:
        """(n, 2) float64: derivatives of both outputs by a hidden unit's sum of products."""
        units = self._deltas.units[1]
        last = np.stack([self._deltas.weights(OFFSET)[:units], self._deltas.weights(SCALE)[:units]], 1)
        last = last * self._scales[2:4]
        if group == SECOND:
            return _activation_slope(self._sums2[:, unit : unit + 1], self._scales[SECOND]) * last[unit]
        second = self._deltas.matrix(SECOND)[:, unit] * _activation_slope(self._sums2, self._scales[SECOND])
        return _activation_slope(self._sums1[:, unit : unit + 1], self._scales[FIRST]) * (second @ last)

    def _run_outputs_of_second(self) -> None:
        self._hidden2 = _activated(self._sums2, self._scales[SECOND])
        self.run_outputs()

    def _sums(self, group: int, below: np.ndarray) -> np.ndarray:
        return below @ self._deltas.matrix(group).T + self._deltas.biases(group) * ONE

    def _ones(self) -> np.ndarray:
        return np.full((len(self._inputs), 1), float(ONE))


def _activated(sums: np.ndarray, scale: float) -> np.ndarray:
    return np.clip(np.floor(sums * scale), 0, _TOP)


def _activation_slope(sums: np.ndarray, scale: float) -> np.ndarray:
    """Derivative of the clipped activation: `scale` inside the range, 0 where clipped."""
    return ((sums >= 0) & (sums * scale < _TOP + 1)) * scale
