"""What a network sees of a cell: states around it, known ones only.

Cells of a level are coded in eight phases by the parity of their coordinates (in the level's cells): ORDER lists
octants, 4 for an odd x, 2 for an odd y, 1 for an odd z. Offsets are mirrored along odd axes, so that every cell is the
first of its parent. Inputs, in this order, each 16 times a state, which is -1, 0 or 1:

    the 26 parents around the parent, the level above
    the cells of the level within a distance of sqrt(6), or sqrt(3) for small families, whose octant is coded before
    where there is a reference: its 27 cells of the level, in the same place
    for each level of the family: 1 where it is this one

Beyond the bricks next to the cell's own one coordinates are clamped. This module is the definition.
"""

from __future__ import annotations

import functools

import numpy as np

from neuralvdb.dataclass import dataclass

ONE = 16
ORDER = (0, 7, 3, 4, 5, 2, 6, 1)
_RANKS = np.argsort(ORDER)  # of octants in it


@dataclass(frozen=True)
class Family:
    """Masks and levels that share networks. reach: square of the distance to known cells; hidden: sizes of h1, h2."""

    name: str
    levels: tuple[int, ...]
    reach: int
    hidden: tuple[int, int]
    reference: bool = False


VOXELS = Family("voxels", (0,), 6, (30, 16))  # of leaves
CELLS = Family("cells", (1, 2, 3), 6, (30, 16))  # of leaves
NODES = Family("nodes", (0, 1, 2, 3), 3, (14, 8))  # children of upper and lower nodes
TILES = Family("tiles", (0, 1, 2, 3), 3, (14, 8), reference=True)  # active ones; the children are the reference
REFERENCED = Family("others", (0, 1, 2, 3), 3, (14, 8), reference=True)  # leaves, children like another tree's
FAMILIES = (VOXELS, CELLS, NODES, TILES, REFERENCED)


@functools.cache
def window(squares: int) -> np.ndarray:
    """Offsets (m, 3) of the cells within the square root of `squares`, without the centre, x first."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    distance = (steps**2).sum(1)
    return steps[(distance > 0) & (distance <= squares)]


def offsets(family: Family, phase: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets (m, 3) int8 of parents, cells and the reference's cells that cells of a phase see."""
    return _offsets(family.reach, family.reference, phase)


@functools.cache
def _offsets(reach: int, reference: bool, phase: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bits = np.array([ORDER[phase] >> 2 & 1, ORDER[phase] >> 1 & 1, ORDER[phase] & 1])
    mirror = 1 - 2 * bits
    near = window(reach)
    octant = (bits + near) % 2 @ np.array([4, 2, 1])
    known = near[_RANKS[octant] < phase]
    nearest = np.concatenate([window(3)[:13], np.zeros((1, 3), int), window(3)[13:]]) if reference else near[:0]
    parents, cells, referenced = (np.ascontiguousarray(a * mirror, np.int8) for a in (window(3), known, nearest))
    return parents, cells, referenced


def inputs_of(family: Family, phase: int) -> int:
    """How many inputs there are."""
    return sum(len(array) for array in offsets(family, phase)) + len(family.levels)


def octants(coords: np.ndarray) -> np.ndarray:
    """Octant (M,) of cells at coords (M, 3)."""
    return coords % 2 @ np.array([4, 2, 1])


@dataclass(frozen=True)
class View:
    """What is known at a level k: states of the level, of the one above (at level 3: of level 3, 0 for every brick) and
    of the reference; near: (B, 27), rows of the bricks around."""

    k: int
    states: np.ndarray
    above: np.ndarray
    reference: np.ndarray | None
    near: np.ndarray


def inputs(view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Inputs (M, i) int16 of the cells `cell` (M,) of bricks `brick` (M,)."""
    n = 8 >> view.k
    at = np.stack([cell // (n * n), cell // n % n, cell % n], 1)
    up, same, other = offsets(family, phase)
    states = [_look(view.above, view.near[brick], at // 2, up), _look(view.states, view.near[brick], at, same)]
    if view.reference is not None:
        states.append(_look(view.reference, view.near[brick], at, other))
    level = np.array([view.k == k for k in family.levels], np.int8)
    states.append(np.broadcast_to(level, (len(brick), len(level))))
    return np.concatenate(states, 1).astype(np.int16) * ONE


def _look(states: np.ndarray, near: np.ndarray, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """States (M, m) at `at` (M, 3) plus `steps` (m, 3), around bricks whose neighbours are `near` (M, 27)."""
    n = round(states.shape[1] ** (1 / 3))
    to = np.clip(at[:, None] + steps, -n, 2 * n - 1)
    brick = np.take_along_axis(near, (to // n + 1) @ np.array([9, 3, 1]), axis=1)
    return states[brick, to % n @ np.array([n * n, n, 1])]
