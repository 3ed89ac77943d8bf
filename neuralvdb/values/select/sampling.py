"""Samples of a tree that searches look at or encode: neighbouring leaves, a few or many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.chunks import Chunk, sample_chunk
from neuralvdb.values.lattice.constants import EDGE
from neuralvdb.values.lossless import by_component
from neuralvdb.volume.grid import Tree, unpack

FEWEST, FEW, MANY = 16, 64, 256  # leaves of a sample


class Sample:
    """Samples of a tree by their leaves, each taken once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._chunks: dict[int, Chunk] = {}

    def chunk(self, leaves: int) -> Chunk:
        """At most so many neighbouring leaves."""
        if leaves not in self._chunks:
            self._chunks[leaves] = sample_chunk(self.tree, leaves)
        return self._chunks[leaves]


@dataclass(frozen=True)
class Bricks:
    """Voxels of bricks: values (B, 8, 8, 8, C) float64 and active (B, 8, 8, 8) bool."""

    values: np.ndarray
    active: np.ndarray


@dataclass(frozen=True, kw_only=True)
class NeighbourPairs:
    """Voxels beside each other.

    first, second: values (..., C) float64.
    first_active, second_active: (...) bool.
    """

    first: np.ndarray
    second: np.ndarray
    first_active: np.ndarray
    second_active: np.ndarray


def bricks_of(tree: Tree, chunk: Chunk) -> Bricks:
    """The leaves of a chunk."""
    values = by_component(tree.leaf)[chunk.leaves].astype(np.float64)
    shape = (-1, EDGE, EDGE, EDGE)
    active = unpack(tree.leaf.active[chunk.leaves]).reshape(shape)
    return Bricks(values.reshape(*shape, values.shape[-1]), active)


def neighbour_pairs(sample: Sample) -> Iterator[NeighbourPairs]:
    """Neighbours along each axis in a sample of a tree: within leaves, and from leaves to the bricks around them."""
    chunk = sample.chunk(MANY)
    leaves = bricks_of(sample.tree, chunk)
    bricks = _with_constants(leaves, chunk)
    cells = chunk.cells
    for axis in range(3):
        low, high = ((*[np.s_[:]] * (1 + axis), side) for side in (np.s_[:-1], np.s_[1:]))
        yield NeighbourPairs(
            first=leaves.values[low],
            second=leaves.values[high],
            first_active=leaves.active[low],
            second_active=leaves.active[high],
        )
        offset = (np.arange(3) == axis).astype(np.int64)
        for own_side, other_side, cell in ((EDGE - 1, 0, cells + offset), (0, EDGE - 1, cells - offset)):
            in_box = (cell >= 0).all(1) & (cell < chunk.table.shape).all(1)
            neighbour = chunk.table[tuple(cell[in_box].T)]
            yield NeighbourPairs(
                first=np.take(leaves.values[in_box], own_side, 1 + axis),
                second=np.take(bricks.values[neighbour], other_side, 1 + axis),
                first_active=np.take(leaves.active[in_box], own_side, 1 + axis),
                second_active=np.take(bricks.active[neighbour], other_side, 1 + axis),
            )


def _with_constants(leaves: Bricks, chunk: Chunk) -> Bricks:
    """The bricks that a chunk's table names: its leaves, then its constants."""
    count = len(chunk.constants)
    constants = np.broadcast_to(chunk.constants[:, None, None, None], (count, *leaves.values.shape[1:]))
    active = np.broadcast_to(chunk.constants_active[:, None, None, None], (count, *leaves.active.shape[1:]))
    return Bricks(np.concatenate([leaves.values, constants]), np.concatenate([leaves.active, active]))
