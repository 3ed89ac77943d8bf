"""Classes of whole phases, by the definition in NumPy."""

from __future__ import annotations

import numpy as np

from neuralvdb.nets.network import Network
from neuralvdb.topology import inputs
from neuralvdb.topology.inputs import Family, View
from neuralvdb.topology.network import logit_classes


class Classifier:
    """The networks {(family, phase): Network}, callable for a phase."""

    def __init__(self, networks: dict[tuple[str, int], Network]) -> None:
        self._networks = networks

    def __call__(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Classes (M, 2) uint8 of the cells `cell` (M,) int16 of bricks `brick` (M,) int32, sorted by brick."""
        network_inputs = inputs.inputs(view, family, phase, brick.astype(np.int64), cell.astype(np.int64))
        return logit_classes(self._networks[family.name, phase], network_inputs)
