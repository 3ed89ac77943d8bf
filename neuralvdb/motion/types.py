"""How a grid is moved."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.motion.blocks import Blocks
from neuralvdb.volume import Tree
from neuralvdb.volume.lookup import find

LEAF_EDGE = 8  # voxels
FAR = 127  # voxels that a whole grid is shifted by along an axis, at most
_LEAST, _MOST = 1e-150, 1e150  # of units and factors


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How a grid is moved onto another one.

    unit: of the integers that the result is in, in values of the source.
    shift: voxels along each axis by which all of it goes, up to 127 either way.
    factor: voxels by which a velocity of 1 moves what it is the velocity of; 0 for no motion along velocities.
    cubic: whether values between voxels are interpolated from 4x4x4 voxels, else from 2x2x2.
    staggered: whether components of vectors are on the lower faces of voxels, else in their centres.
    blocks: what moves the grid in place of velocities.
    """

    unit: float
    shift: tuple[int, int, int] = (0, 0, 0)
    factor: float = 0.0
    cubic: bool = False
    staggered: bool = False
    blocks: Blocks | None = None

    def valid(self) -> bool:
        """Whether the numbers are possible, as those of a damaged archive may not be."""
        near = all(-FAR <= voxels <= FAR for voxels in self.shift)
        possible = self.blocks is None or (self.factor == 0 and not self.staggered and self.blocks.valid())
        return (
            near and possible and _LEAST < self.unit < _MOST and (self.factor == 0 or _LEAST < abs(self.factor) < _MOST)
        )


@dataclass(frozen=True)
class Leaves:
    """Leaves of a tree: origins (M, 3) int32, values (M, 512[, C]), and the background ([C]), which all else is."""

    origins: np.ndarray
    values: np.ndarray
    background: np.ndarray

    @classmethod
    def of(cls, tree: Tree) -> Leaves:
        """All leaves of a tree."""
        return cls(tree.leaf_origins, tree.leaf.values, np.asarray(tree.root.background))

    def near(self, origins: np.ndarray, bricks: int) -> Leaves:
        """Those within so many leaves' edges of the leaves at `origins` (N, 3) int32."""
        steps = np.stack(np.unravel_index(np.arange((2 * bricks + 1) ** 3), (2 * bricks + 1,) * 3), axis=1) - bricks
        wanted = (origins[:, None].astype(np.int64) + LEAF_EDGE * steps).reshape(-1, 3)
        wanted = wanted[(np.abs(wanted) < 1 << 31).all(axis=1)]
        at = find(self.origins, wanted.astype(np.int32))
        leaves = np.flatnonzero(np.bincount(at[at >= 0]))
        return Leaves(self.origins[leaves], self.values[leaves], self.background)


@dataclass(frozen=True)
class Voxels:
    """Voxels of leaves at origins (N, 3) int32, whose bits are set in (N, 64) uint8, as a LeafLevel has them."""

    origins: np.ndarray
    active: np.ndarray

    @classmethod
    def of(cls, tree: Tree) -> Voxels:
        """All active voxels of a tree's leaves."""
        return cls(tree.leaf_origins, tree.leaf.active)


@dataclass(frozen=True)
class Velocities:
    """Velocities, of three components: at the time of what the result resembles, and at that of the source.

    Where there is only one, it is both.
    """

    now: Leaves
    before: Leaves
