"""Which grids of a frame share a topology, and which have one that another resembles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash

from neuralvdb.topology import Base, Topology, count_differing, resembles
from neuralvdb.volume import Tree

_KEPT = 4  # topologies to build on


@dataclass(frozen=True)
class Role:
    """owner: number of the grid whose topology a grid has; base: what that one is coded from, None for nothing."""

    owner: int
    base: Base | None = None


class TopologySharing:
    """The topologies of a frame so far."""

    def __init__(self) -> None:
        self._owners: dict[bytes, int] = {}
        self._bases: list[Base] = []

    def assign(self, index: int, tree: Tree | None) -> Role:
        """The role of the topology of grid number `index`; call it for every grid, in order."""
        if tree is None:
            return Role(index)
        topology = Topology.of(tree)
        owner = self._owners.setdefault(_digest(topology), index)
        if owner != index:
            return Role(owner)
        nearest = min(self._bases, key=lambda base: count_differing(topology, base[1]), default=None)
        if nearest is not None and resembles(topology, nearest[1]):
            return Role(index, nearest)
        self._bases = [*self._bases[1 - _KEPT :], (index, topology)]
        return Role(index)


def _digest(topology: Topology) -> bytes:
    state = xxhash.xxh3_128()
    for array in (topology.child_origins, topology.tile_origins, topology.tile_active, *topology.masks):
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        state.update(len(array).to_bytes(8, "little"))
    return state.digest()
