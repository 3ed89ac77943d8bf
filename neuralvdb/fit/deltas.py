"""What has changed of a network's weights while it is fine-tuned, in quanta, and the bits that the changes take.

Weights are numbers of their groups, in the order of network_changes.NetworkChange; a bias counts in units worth ONE.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.quadratic import WeightRange
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import network_changes
from neuralvdb.values.lattice.constants import ONE
from neuralvdb.values.lattice.network_changes import FIRST, GROUPS, QUANTA, SECOND, NetworkChange
from neuralvdb.values.lattice.tables import MOST

_MAX_WEIGHT, _MAX_BIAS = 127.0, (1 << 22) / ONE


@dataclass(frozen=True)
class GroupCode:
    """How the deltas of a group are coded: as residuals of a scale class, each worth QUANTA[quantum]."""

    scale_class: int
    quantum: int


@dataclass(frozen=True)
class GroupDeltas:
    """Deltas (n,) int64 of a group, in quanta, and how they are coded; None where nothing of the group changes."""

    values: np.ndarray
    code: GroupCode | None = None


class Deltas:
    """The deltas of all groups of a network, and their price.

    prices: (64, 2 MOST + 1) bits of deltas by scale class; selection_penalty: bits that any delta costs besides.
    """

    def __init__(self, net: Network, prices: np.ndarray, selection_penalty: float) -> None:
        self.prices, self.selection_penalty = prices, selection_penalty
        self.units = (len(net.w1), len(net.w2))
        self._start = [network_changes.flat(net, group) for group in GROUPS]
        self._groups = [GroupDeltas(np.zeros(len(start), np.int64)) for start in self._start]

    def __getitem__(self, group: int) -> GroupDeltas:
        return self._groups[group]

    def __setitem__(self, group: int, deltas: GroupDeltas) -> None:
        self._groups[group] = deltas

    def change(self, group: int) -> np.ndarray:
        """(n,) int64: by how much the weights of a group have changed."""
        values, code = self._groups[group].values, self._groups[group].code
        return values * QUANTA[code.quantum] if code else np.zeros_like(values)

    def weights(self, group: int) -> np.ndarray:
        """(n,) float64 weights of a group as they are now."""
        return self._start[group] + self.change(group)

    def matrix(self, group: int) -> np.ndarray:
        """(units, inputs) weights of a hidden layer."""
        units = self.units[group]
        return self.weights(group)[:-units].reshape(units, -1)

    def biases(self, group: int) -> np.ndarray:
        """(units,) biases of a hidden layer."""
        return self.weights(group)[-self.units[group] :]

    def unit(self, group: int, unit: int) -> np.ndarray:
        """The numbers of a hidden unit's weights and, last, its bias, int64."""
        units = self.units[group]
        inputs = len(self._start[group]) // units - 1
        return np.append(np.arange(unit * inputs, (unit + 1) * inputs), units * inputs + unit)

    def range(self, group: int, which: np.ndarray | slice = slice(None)) -> WeightRange:
        """Where the weights `which` of a group may go."""
        start = self._start[group]
        limit = np.full(len(start), _MAX_WEIGHT)
        limit[slice(-self.units[group], None) if group in (FIRST, SECOND) else self.units[1]] = _MAX_BIAS
        start, limit = start[which], limit[which]
        return WeightRange(self.change(group)[which], -limit - start, limit - start)

    def in_quanta(self, group: int, quantum: int) -> np.ndarray:
        """(n,) int64: the changes of a group in other quanta, rounded."""
        return np.rint(self.change(group) / QUANTA[quantum]).astype(np.int64)

    def price(self, deltas: np.ndarray, scale_class: int) -> float:
        """Bits of deltas coded with a scale class, penalties included."""
        bits = self.prices[scale_class, deltas + MOST].sum()
        return float(bits + self.selection_penalty * np.count_nonzero(deltas))

    def total_price(self) -> float:
        """Bits of all deltas, penalties included."""
        return sum((self.price(each.values, code.scale_class) for each, code in self._changed().values()), 0.0)

    def network_change(self, donor: str) -> NetworkChange:
        """The change that is stored, of a network of the family `donor`."""
        changed = self._changed()
        return NetworkChange(
            donor,
            {group: code.scale_class for group, (_, code) in changed.items()},
            {group: code.quantum for group, (_, code) in changed.items()},
            {group: each.values.copy() for group, (each, _) in changed.items()},
        )

    def _changed(self) -> dict[int, tuple[GroupDeltas, GroupCode]]:
        """The groups with a delta other than 0."""
        return {g: (each, each.code) for g, each in enumerate(self._groups) if each.code and each.values.any()}
