"""Classes of whole phases, by the definition in NumPy or by its fast twin in C++: the same integers."""

from __future__ import annotations

import numpy as np

from neuralvdb.nets.network import OUTPUTS, Network
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.topology import _topology, inputs
from neuralvdb.topology.inputs import Family, View, offsets
from neuralvdb.topology.network import logit_classes


class Classifier:
    """The networks {(family, phase): Network}, callable for a phase. implementation: "native" or "reference"."""

    def __init__(
        self, networks: dict[tuple[str, int], Network], *, threads: int = 1, implementation: str = "native"
    ) -> None:
        self._networks, self._threads = networks, threads
        self._phase = {"native": self._native, "reference": self._reference}[implementation]

    def __call__(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Classes (M, 2) uint8 of the cells `cell` (M,) int16 of bricks `brick` (M,) int32, sorted by brick."""
        return self._phase(view, family, phase, brick, cell)

    def _reference(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
        network_inputs = inputs.inputs(view, family, phase, brick.astype(np.int64), cell.astype(np.int64))
        return logit_classes(self._networks[family.name, phase], network_inputs)

    def _native(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
        classes = np.empty((len(brick), OUTPUTS), np.uint8)
        level = [int(view.k == k) for k in family.levels]
        net = pack_for_native(self._networks[family.name, phase])
        states = (view.states, view.above, view.reference, view.near)
        _topology.classes(*states, brick, cell, *offsets(family, phase), level, net, self._threads, classes)
        return classes
