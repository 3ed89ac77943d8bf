"""Which grids of a frame share a topology, and which have one that another resembles."""

from __future__ import annotations

import numpy as np
import xxhash

from neuralvdb.dataclass import dataclass
from neuralvdb.topology import Reference, Topology, count_differing, resembles
from neuralvdb.volume import Tree

_KEPT = 4  # topologies to build on


@dataclass(frozen=True)
class Role:
    """owner: number of the grid whose topology a grid has; reference: what that one is coded from, None for nothing."""

    owner: int
    reference: Reference | None = None


class TopologySharing:
    """The topologies of a frame so far."""

    def __init__(self) -> None:
        self._owners: dict[bytes, int] = {}
        self._references: list[Reference] = []

    def assign(self, index: int, tree: Tree | None) -> Role:
        """The role of the topology of grid number `index`; call it for every grid, in order."""
        if tree is None:
            return Role(index)
        topology = Topology.of(tree)
        owner = self._owners.setdefault(_digest(topology), index)
        if owner != index:
            return Role(owner)
        nearest = min(self._references, key=lambda r: count_differing(topology, r.topology), default=None)
        if nearest is not None and resembles(topology, nearest.topology):
            return Role(index, nearest)
        self._references = [*self._references[1 - _KEPT :], Reference(index, topology)]
        return Role(index)


def _digest(topology: Topology) -> bytes:
    state = xxhash.xxh3_128()
    for array in (topology.child_origins, topology.tile_origins, topology.tile_active, *topology.masks):
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        state.update(len(array).to_bytes(8, "little"))
    return state.digest()
