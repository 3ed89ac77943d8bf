"""The topology of a tree as arrays. They are not changed, but for masks of leaves where need() decodes them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, Tree, child_origins


@dataclass
class Topology:
    """Root table and masks of a tree; shapes and packing as in neuralvdb.volume.grid.

    child_origins (U, 3) and tile_origins (T, 3) int32; tile_active (T,) uint8; upper_child and
    upper_active (U, 4096), lower_child and lower_active (L, 512), leaf_active (N, 64) uint8.
    """

    child_origins: np.ndarray
    tile_origins: np.ndarray
    tile_active: np.ndarray
    upper_child: np.ndarray
    upper_active: np.ndarray
    lower_child: np.ndarray
    lower_active: np.ndarray
    leaf_active: np.ndarray

    @classmethod
    def of(cls, tree: Tree) -> Topology:
        """The topology of `tree`; its arrays are shared, not copied."""
        return cls(
            tree.root.child_origins,
            tree.root.tile_origins,
            tree.root.tile_active,
            tree.upper.child,
            tree.upper.active,
            tree.lower.child,
            tree.lower.active,
            tree.leaf.active,
        )

    @property
    def masks(self) -> tuple[np.ndarray, ...]:
        """Masks in the order of the levels: upper child, upper active, lower child, lower active, leaf active."""
        return self.upper_child, self.upper_active, self.lower_child, self.lower_active, self.leaf_active

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        root = self.child_origins.nbytes + self.tile_origins.nbytes + self.tile_active.nbytes
        return root + sum(mask.nbytes for mask in self.masks)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Root tiles, upper nodes, lower nodes, leaves."""
        return len(self.tile_origins), len(self.upper_child), len(self.lower_child), len(self.leaf_active)

    def leaf_origins(self) -> np.ndarray:
        """Index-space origin (N, 3) int32 of every leaf (voxels), computed once."""
        return self._leaf_origins

    @cached_property
    def _leaf_origins(self) -> np.ndarray:
        lower = child_origins(self.child_origins, self.upper_child, UPPER_LOG2, 128)
        return child_origins(lower, self.lower_child, LOWER_LOG2, 8)

    def need(self, leaves: np.ndarray | None = None) -> None:
        """Sees to it that the masks of some `leaves` (N,) bool, or of all, are there; until then they are anything.
        Here all are. Raises DamagedFile, OutOfMemory where they have to be decoded first."""
