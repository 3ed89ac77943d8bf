"""The leaves of a grid cut into domains that know nothing of each other, each a box of bricks for lattice.levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from neuralvdb.values.lattice.compand import compand, expand
from neuralvdb.values.lattice.levels import EDGE, LIMIT
from neuralvdb.volume.grid import Tree, leaf_origins, unpack
from neuralvdb.volume.lookup import constants_at

DOMAIN = 256  # edge in voxels
_ALIGN = 128  # domains begin on the lines of lower nodes
_ROWS = 256  # bricks that are converted at a time


@dataclass
class Domain:
    """One domain. leaves: (B,) int64, indices in the tree, in its order; low: (3,) int64, first brick, multiples of 16;
    table: (X, Y, Z) int32, row of each cell, leaves first; constants: (K, C) values of the other rows;
    constants_active: (K,) bool."""

    leaves: np.ndarray
    low: np.ndarray
    table: np.ndarray
    constants: np.ndarray
    constants_active: np.ndarray


def domains(tree: Tree) -> Iterator[Domain]:
    """The domains of a tree in the order of their corners."""
    origins = leaf_origins(tree).astype(np.int64)
    if not len(origins):
        return
    start = origins.min(0) // _ALIGN * _ALIGN
    corner = (origins - start) // DOMAIN
    _, number = np.unique(corner, axis=0, return_inverse=True)
    number = number.reshape(-1)
    for i in range(number.max() + 1):
        leaves = np.nonzero(number == i)[0]
        low = start + corner[leaves[0]] * DOMAIN
        yield _domain(tree, leaves, origins[leaves], low)


def _domain(tree: Tree, leaves: np.ndarray, origins: np.ndarray, low: np.ndarray) -> Domain:
    """The box reaches at least a brick beyond the leaves but not out of the domain, and keeps to lower nodes' lines."""
    first = np.maximum((origins.min(0) - EDGE) // _ALIGN * _ALIGN, low)
    high = np.minimum(-(-(origins.max(0) + 2 * EDGE) // _ALIGN) * _ALIGN, low + DOMAIN)
    table = np.full((high - first) // EDGE, -1, np.int32)
    table[tuple(((origins - first) // EDGE).T)] = np.arange(len(leaves))
    cells = np.stack(np.nonzero(table < 0), 1)
    values, active = constants_at(tree, (cells * EDGE + first).astype(np.int32))
    keys = np.concatenate([values.view(np.uint8).reshape(len(values), -1), active[:, None].view(np.uint8)], axis=1)
    _, where, row = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    table[tuple(cells.T)] = len(leaves) + row.reshape(-1)
    return Domain(leaves, first // EDGE, table, values[where], active[where])


@dataclass(frozen=True)
class Lattice:
    """How values become lattice values: divided by the unit (the grid's values), then companded."""

    unit: float
    knee: int = 0

    def exact(self, values: np.ndarray) -> np.ndarray:
        """float64 lattice values, not rounded."""
        return _by_rows(lambda some: compand(some.astype(np.float64) / self.unit, self.knee), values, np.float64)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """int32 lattice values, clamped to plus or minus LIMIT; NaN becomes 0."""

        def rounded(some: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore", over="ignore"):
                whole = np.rint(self.exact(some))
            return np.nan_to_num(np.clip(whole, -LIMIT, LIMIT), nan=0.0)

        return _by_rows(rounded, values, np.int32)

    def values(self, lattice: np.ndarray) -> np.ndarray:
        """float64 values of lattice values."""
        return _by_rows(lambda some: expand(some, self.knee) * self.unit, lattice, np.float64)


def _by_rows(convert: Callable[[np.ndarray], np.ndarray], source: np.ndarray, dtype: type) -> np.ndarray:
    """`convert` on _ROWS rows of `source` at a time, so that what it takes of memory stays small."""
    found = np.empty(source.shape, dtype)
    for start in range(0, len(source), _ROWS):
        found[start : start + _ROWS] = convert(source[start : start + _ROWS])
    return found


def rows_of(tree: Tree, domain: Domain, component: int, lattice: Lattice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice values (R, 512) int32, active and coded (R, 512) uint8 of a domain's rows, in one component."""
    on = unpack(tree.leaf.active[domain.leaves])
    shape = (len(domain.constants), EDGE**3)
    constants = np.broadcast_to(lattice.nearest(domain.constants[:, component, None]), shape)
    values = np.concatenate([lattice.nearest(_leaves(tree, domain, component)), constants])
    active = np.concatenate([on, np.broadcast_to(domain.constants_active[:, None], shape)]).astype(np.uint8)
    coded = np.concatenate([on, np.zeros(shape, bool)]).astype(np.uint8)
    return values, active, coded


def exact_of(tree: Tree, domain: Domain, component: int, lattice: Lattice) -> np.ndarray:
    """Lattice values (B, 512) float64 of a domain's leaves, not rounded."""
    return lattice.exact(_leaves(tree, domain, component))


def _leaves(tree: Tree, domain: Domain, component: int) -> np.ndarray:
    return tree.leaf.values.reshape(len(tree.leaf), EDGE**3, -1)[domain.leaves, :, component]
