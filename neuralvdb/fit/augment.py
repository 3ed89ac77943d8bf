"""More to learn from one volume: its axes permuted, its topology pruned, what is around its points mirrored."""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice import mean_inputs, sample_inputs
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.volume.grid import (
    LEAF_LOG2,
    LOWER_LOG2,
    UPPER_LOG2,
    InnerLevel,
    LeafLevel,
    Root,
    Tree,
    child_origins,
    unpack,
)
from neuralvdb.volume.lookup import find
from neuralvdb.volume.regions import keep_leaves

Axes = tuple[int, int, int]
_LAYOUTS = {LatticeKind.SAMPLE: sample_inputs.layout, LatticeKind.MEAN: mean_inputs.layout}
_EDGES = (4096, 128, 8)  # of upper, lower and leaf nodes, in voxels


def transposed(tree: Tree, axes: Axes) -> Tree:
    """The tree whose axis i is axis axes[i] of `tree`; vectors keep their components."""
    root, order = tree.root, list(axes)
    origins = root.child_origins
    turned = Root(root.background, origins[:, order], root.tile_origins[:, order], root.tile_active, root.tile_values)
    inner, wanted = [], turned.child_origins
    for level, log2dim, edge in ((tree.upper, UPPER_LOG2, _EDGES[1]), (tree.lower, LOWER_LOG2, _EDGES[2])):
        slots = _Slots(_positions(origins, order, wanted), log2dim, axes)
        new = InnerLevel(slots.mask(level.child), slots.mask(level.active), slots.values(level.values))
        inner.append(new)
        origins = child_origins(origins, level.child, log2dim, edge)
        wanted = child_origins(wanted, new.child, log2dim, edge)
    slots = _Slots(_positions(origins, order, wanted), LEAF_LOG2, axes)
    upper, lower = inner
    return Tree(turned, upper, lower, LeafLevel(slots.mask(tree.leaf.active), slots.values(tree.leaf.values)))


def keep_needed_leaves(tree: Tree, max_error: float) -> Tree:
    """The tree nearly as it is coded where its topology is pruned (codec/pruning.py): leaves with an active value
    further than `max_error` from the background, all of their voxels active; `tree` itself if there are none."""
    far = np.abs(tree.leaf.values - tree.root.background) > max_error
    needed = (far & unpack(tree.leaf.active)).any(1)
    return keep_leaves(tree, needed, np.full_like(tree.leaf.active, 255)) if needed.any() else tree


@dataclass(frozen=True)
class Mirror:
    """One way to mirror what is around a point.

    order: (i,) int64, in which its inputs then stand.
    factors: (i + 1,) float32, of these, and last of what is to be predicted.
    """

    order: np.ndarray
    factors: np.ndarray


def mirrors(kind: LatticeKind, axis: int, phase: int) -> list[Mirror]:
    """The eight ways to mirror what is around a point of a pass."""
    layout = _LAYOUTS[kind](axis, phase)
    offsets = np.concatenate([group.offsets for group in layout.groups])
    sizes = [len(group.offsets) for group in layout.groups]
    number = np.repeat(np.arange(len(sizes)), sizes)
    differences = np.repeat([not group.centred for group in layout.groups], sizes)
    ways = []
    for signs in np.ndindex(2, 2, 2):
        mirrored = offsets * (1 - 2 * np.array(signs))
        same = (offsets[None] == mirrored[:, None]).all(2) & (number[:, None] == number[None])
        order, factors = same.argmax(1), np.ones(layout.count + 1, np.float32)
        if kind is LatticeKind.MEAN and signs[axis]:  # differences, the first half's share, what is to be predicted
            factors[: layout.points][differences] = factors[-2:] = -1
        scales = np.arange(2 * layout.points, layout.count)
        ways.append(Mirror(np.concatenate([order, layout.points + order, scales]), factors))
    return ways


def _positions(origins: np.ndarray, order: list[int], wanted: np.ndarray) -> np.ndarray:
    """Where nodes whose turned origins are `wanted` (nodes, 3) stand among those at `origins` (nodes, 3)."""
    return find(np.ascontiguousarray(origins[:, order]), np.ascontiguousarray(wanted))


@dataclass(frozen=True)
class _Slots:
    """Puts the nodes of a level in another order, each with its axes permuted."""

    node: np.ndarray
    log2dim: int
    axes: Axes

    def values(self, slots: np.ndarray) -> np.ndarray:
        """Of values (nodes, S[, C])."""
        cube = slots[self.node].reshape(len(self.node), *(1 << self.log2dim,) * 3, *slots.shape[2:])
        tail = range(4, cube.ndim)
        return np.ascontiguousarray(cube.transpose(0, *(1 + a for a in self.axes), *tail)).reshape(slots.shape)

    def mask(self, bits: np.ndarray) -> np.ndarray:
        """Of a packed mask (nodes, S/8)."""
        return np.packbits(self.values(unpack(bits)), axis=1, bitorder="little")
