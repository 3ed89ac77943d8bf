"""Which topologies resemble each other enough for one to be coded from the other."""

from __future__ import annotations

from neuralvdb.topology import _topology
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import popcount

_SHARE = 4  # of the active voxels of leaves, at most one in so many may differ


def resembles(topology: Topology, other: Topology) -> bool:
    """Whether few active voxels of leaves differ."""
    return _SHARE * count_differing(topology, other) <= popcount(topology.leaf_active)


def count_differing(topology: Topology, other: Topology) -> int:
    """Active voxels of leaves in one of two topologies and not in the other."""
    at = _topology.find(other.leaf_origins(), topology.leaf_origins())
    both = at >= 0
    active, other_active = topology.leaf_active[both], other.leaf_active[at[both]]
    alone = popcount(topology.leaf_active[~both]) + popcount(other.leaf_active) - popcount(other_active)
    return popcount(active ^ other_active) + alone
