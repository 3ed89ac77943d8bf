"""From a chunk's lattice values to the values of a grid's leaves, as the encoder and the decoder both need them."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent
from neuralvdb.values.lattice.constants import ROWS_AT_A_TIME
from neuralvdb.values.lattice.levels import pieces
from neuralvdb.values.lattice.native import native_chunk
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import LEAF_SLOTS, Tree


@dataclass(frozen=True)
class LeafValues:
    """Values of all leaves of a tree as they decode.

    tree: has the values of inactive voxels.
    promise: how lattice values become the grid's.
    values: (N, 512, C), filled chunk by chunk.
    threads: that share the work.
    """

    tree: Tree
    promise: Promise
    values: np.ndarray
    threads: int = 1

    def fill(self, chunk: Chunk, component: int, lattice_values: np.ndarray, implementation: str = "native") -> None:
        """Puts a component of a chunk: where active, the values of lattice_values (B or more, 512), else the tree's."""
        leaves = ChunkComponent.of(self.tree, chunk, component)
        if implementation == "native":
            rules = self.promise.native_rules(component)
            nowhere = np.zeros(len(leaves.constants), np.int32)  # constants are no leaves
            to = self.values[:, :, component]
            _lattice.fill(native_chunk(leaves, nowhere), lattice_values, rules, to, self.threads)
            return
        for piece in pieces(len(leaves), ROWS_AT_A_TIME):
            decoded = self.promise.decoded(lattice_values[piece], self.values.dtype, component)
            self.values[chunk.leaves[piece], :, component] = np.where(leaves.active(piece), decoded, leaves.rows(piece))

    def broken(self, chunk: Chunk, component: int, implementation: str = "native") -> np.ndarray:
        """(n,) int64, leaf of the chunk * LEAF_SLOTS + voxel: the active values that break the promise, in order."""
        leaves, values = ChunkComponent.of(self.tree, chunk, component), self.values[:, :, component]
        if implementation == "native":
            nowhere = np.zeros(len(leaves.constants), np.int32)
            bricks = native_chunk(leaves, nowhere)
            native: np.ndarray = _lattice.broken(bricks, self.promise.native_bound, values, self.threads)
            return native
        slots = [np.zeros(0, np.int64)]
        for piece in pieces(len(leaves), ROWS_AT_A_TIME):
            kept = self.promise.kept(leaves.rows(piece), values[chunk.leaves[piece]])
            slots.append(np.flatnonzero(leaves.active(piece) & ~kept) + piece.start * LEAF_SLOTS)
        return np.concatenate(slots)
