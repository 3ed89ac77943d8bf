"""Which topologies resemble each other enough for one to be coded from the other."""

from __future__ import annotations

import numpy as np

from neuralvdb.topology import _topology
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, popcount

_SHARE = 4  # of the active voxels of leaves, at most one in so many may differ


def resembles(topology: Topology, other: Topology) -> bool:
    """Whether few active voxels of leaves differ."""
    return _SHARE * count_differing(topology, other) <= popcount(topology.leaf_active)


def count_differing(topology: Topology, other: Topology) -> int:
    """Active voxels of leaves in one of two topologies and not in the other."""
    at = _topology.find(_leaves(other), _leaves(topology))
    both = at >= 0
    active, other_active = topology.leaf_active[both], other.leaf_active[at[both]]
    alone = popcount(topology.leaf_active[~both]) + popcount(other.leaf_active) - popcount(other_active)
    return popcount(active ^ other_active) + alone


def _leaves(topology: Topology) -> np.ndarray:
    lower = child_origins(topology.child_origins, topology.upper_child, UPPER_LOG2, 128)
    return child_origins(lower, topology.lower_child, LOWER_LOG2, 8)
