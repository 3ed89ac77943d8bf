"""A grid moved along velocities: semi-Lagrangian, in two steps (Stam, "Stable Fluids", 1999), in fixed point. Or by
vectors of blocks.

The definition; motion/native/move.h is its twin. Positions are in 1/256 voxel, displacements in 1/4096 voxel.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.motion.blocks import displacement
from neuralvdb.motion.field import Field
from neuralvdb.motion.types import Leaves, Motion, Velocities, Voxels
from neuralvdb.volume.grid import LEAF_SLOTS, unpack

LIMIT = 1 << 27  # of values in units
PARTS, FASTEST = 1 << 12, 8 << 12  # of a voxel; those by which anything moves along an axis, at most
_ONE, _HALF = 256, 128  # of a voxel, in positions
_QUARTERS = ((3, 1), (1, 3))  # of both steps: of the velocities now and before
_HALF_STEP = 5  # bits by which a displacement is shifted to become half of it as a position
_SLOTS = np.stack(np.unravel_index(np.arange(LEAF_SLOTS), (8, 8, 8)), axis=1)
_LEAVES_AT_A_TIME = 16


@dataclass(frozen=True)
class Taps:
    """How to interpolate: weights (256, T) int64 by position in a voxel, the first voxel that counts, and log2 of the
    weights' sum along an axis."""

    weights: np.ndarray
    first: int
    bits: int


def _cubic_weights() -> np.ndarray:
    """(256, 4) int64 that sum to 512: Catmull and Rom's, rounded, what lacks being the nearer voxel's."""
    f = np.arange(_ONE, dtype=np.int64)
    line, square, cube = f << 16, f * f << 8, f * f * f
    rows = [
        2 * square - cube - line,
        3 * cube - 5 * square + (2 << 24),
        4 * square - 3 * cube + line,
        cube - square,
    ]
    weights = np.stack([(numbers + (1 << 15)) >> 16 for numbers in rows], axis=1)
    weights[f, 1 + (f >= _HALF)] += 512 - weights.sum(axis=1)
    return weights


_PLACES = np.arange(_ONE, dtype=np.int64)
LINEAR = Taps(np.stack([_ONE - _PLACES, _PLACES], axis=1), 0, 8)
CUBIC = Taps(_cubic_weights(), -1, 9)


def move(
    source: Leaves,
    wanted: Voxels,
    motion: Motion,
    velocities: Velocities | None = None,
    *,
    threads: int = 1,
    implementation: str = "native",
) -> np.ndarray:
    """What the source says of voxels of leaves once it is moved: (N, 512, C) int32, in units; 0 of all others.

    velocities: needed where motion.factor is not 0. implementation: "native" or "reference", which give the
    same numbers. Voxels of the source beyond its leaves are its background.
    """
    times: list[Leaves] = []
    if motion.factor:
        assert velocities is not None
        times = [velocities.now] if velocities.before is velocities.now else [velocities.now, velocities.before]
    scales = 1 / motion.unit, motion.factor * PARTS
    if implementation == "native":
        from neuralvdb.motion.native_move import native_move

        return native_move(source, wanted, motion, times, scales, threads)
    field = Field.of(source, scales[0], LIMIT)
    displacements = [Field.of(leaves, scales[1], FASTEST) for leaves in times]
    moved = np.zeros((len(wanted.origins), LEAF_SLOTS, field.components), np.int32)
    for first in range(0, len(moved), _LEAVES_AT_A_TIME):
        leaves = slice(first, first + _LEAVES_AT_A_TIME)
        active = unpack(wanted.active[leaves])
        voxels = (wanted.origins[leaves, None].astype(np.int64) + _SLOTS)[active]
        moved[leaves][active] = _moved(field, voxels, motion, displacements)
    return moved


def _moved(field: Field, voxels: np.ndarray, motion: Motion, displacements: list[Field]) -> np.ndarray:
    """What comes to voxels (n, 3) int64: (n, C) int64."""
    taps = CUBIC if motion.cubic else LINEAR
    shift = np.array(motion.shift, np.int64) * _ONE
    if motion.blocks is not None:
        return interpolated(field, voxels * _ONE - displacement(motion.blocks, voxels) - shift, taps)
    if field.components == 1 or not motion.staggered:
        return interpolated(field, _origin(voxels * _ONE, motion, displacements) - shift, taps)
    columns = []
    for component in range(field.components):
        face = np.eye(3, dtype=np.int64)[component] * _HALF
        at = _origin(voxels * _ONE - face, motion, displacements) + face - shift
        columns.append(interpolated(field, at, taps)[:, component])
    return np.stack(columns, axis=1)


def _origin(at: np.ndarray, motion: Motion, displacements: list[Field]) -> np.ndarray:
    """Where what is at positions (n, 3) int64 comes from, but for the shift."""
    for quarters in _QUARTERS if displacements else ():
        total = np.zeros_like(at)
        for number, field in enumerate(displacements):
            share = quarters[number] if len(displacements) > 1 else sum(quarters)
            for axis in range(3):
                shifted = at - np.array(motion.shift, np.int64) * _ONE * number
                if motion.staggered:
                    shifted[:, axis] += _HALF
                total[:, axis] += share * weighted(field, shifted, LINEAR)[:, axis]
        bits = 3 * LINEAR.bits + 2 + _HALF_STEP
        at = at - ((total + (1 << bits - 1)) >> bits)
    return at


def interpolated(field: Field, at: np.ndarray, taps: Taps) -> np.ndarray:
    """Values (n, C) int64 at positions (n, 3) int64."""
    bits = 3 * taps.bits
    return (weighted(field, at, taps) + (1 << bits - 1)) >> bits


def weighted(field: Field, at: np.ndarray, taps: Taps) -> np.ndarray:
    """Sums (n, C) int64 of values by their weights."""
    weights, first = taps.weights[at & _ONE - 1], (at >> 8) + taps.first
    total = np.zeros((len(at), field.components), np.int64)
    for x, y, z in np.ndindex(*weights.shape[2:] * 3):
        weight = weights[:, 0, x] * weights[:, 1, y] * weights[:, 2, z]
        total += weight[:, None] * field.read(first + np.array([x, y, z]))
    return total
