"""What a picture shows of index space: which voxels, seen from where, how many to a pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.volume import Tree, leaf_origins
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, lower_origins, unpack

MOST_PIXELS = 512  # of an edge
AXES = "xyz"


@dataclass(frozen=True)
class Window:
    """The voxels from `low` to `high`, both included. x goes to the right, y or z up; the picture is seen along the
    other one, from the side that makes the axes right-handed."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    @property
    def axis(self) -> int:
        """The axis it is seen along: the shorter one of y and z, z where they are equal."""
        return 1 if self.high[1] - self.low[1] < self.high[2] - self.low[2] else 2

    @property
    def up(self) -> int:
        """The axis that goes up."""
        return 3 - self.axis

    @property
    def towards(self) -> int:
        """1 if the eye is at high coordinates of `axis`, -1 if it is at low ones."""
        return 1 if self.axis == 2 else -1

    @property
    def stride(self) -> int:
        """Voxels along a pixel's edge."""
        return -(-max(self._size(0), self._size(self.up)) // MOST_PIXELS)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels: height and width."""
        return -(-self._size(self.up) // self.stride), -(-self._size(0) // self.stride)

    @property
    def middle(self) -> int:
        """The coordinate of the middle slice on `axis`."""
        return (self.low[self.axis] + self.high[self.axis]) // 2

    def pixels(self, x: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Index of the pixel, from the top left one on, that shows the voxels at these coordinates (any one shape)."""
        height, width = self.shape
        from_top = height - 1 - (up - self.low[self.up]) // self.stride
        index: np.ndarray = from_top * width + (x - self.low[0]) // self.stride
        return index

    def slice_points(self) -> np.ndarray:
        """(pixels, 3) int64: the voxel of the middle slice that is in the middle of each pixel."""
        height, width = self.shape
        centres = [
            np.minimum(self.low[axis] + np.arange(count) * self.stride + self.stride // 2, self.high[axis])
            for axis, count in ((0, width), (self.up, height))
        ]
        points = np.empty((height, width, 3), np.int64)
        points[..., 0], points[..., self.up] = centres[0][None, :], centres[1][::-1, None]
        points[..., self.axis] = self.middle
        return points.reshape(-1, 3)

    def _size(self, axis: int) -> int:
        return self.high[axis] - self.low[axis] + 1


@dataclass(frozen=True)
class Boxes:
    """Active tiles of one size. origins: (M, 3); edge: voxels; values: (M[, C])."""

    origins: np.ndarray
    edge: int
    values: np.ndarray


def active_tiles(tree: Tree) -> Iterator[Boxes]:
    """All of them: of the root table, of upper and of lower nodes."""
    on = tree.root.tile_active != 0
    yield Boxes(tree.root.tile_origins[on], 4096, tree.root.tile_values[on])
    for level, origins, log2dim, edge in (
        (tree.upper, tree.root.child_origins, UPPER_LOG2, 128),
        (tree.lower, lower_origins(tree), LOWER_LOG2, 8),
    ):
        yield Boxes(child_origins(origins, level.active, log2dim, edge), edge, level.values[unpack(level.active)])


def window_of(*trees: Tree) -> Window | None:
    """The window on all leaves and tiles with active voxels; None where there are none."""
    corners = []
    for tree in trees:
        boxes = [(leaf_origins(tree)[tree.leaf.active.any(1)], 8), *((b.origins, b.edge) for b in active_tiles(tree))]
        corners += [(o.astype(np.int64).min(0), o.astype(np.int64).max(0) + edge - 1) for o, edge in boxes if len(o)]
    if not corners:
        return None
    low, high = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
    return Window((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))
