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
from neuralvdb.volume.grid import Tree


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
