"""A grid moved along velocities in one call: the compiled twin of move.py (motion/native/move.h)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuralvdb.motion import _motion
from neuralvdb.motion.types import Leaves, Motion
from neuralvdb.volume.grid import LEAF_SLOTS


def native_move(
    source: Leaves,
    origins: np.ndarray,
    motion: Motion,
    displacing: Sequence[Leaves],
    scales: tuple[float, float],
    threads: int,
) -> np.ndarray:
    """What move() gives. scales: what values and velocities are multiplied by to be read as integers."""
    fields = [_field(leaves) for leaves in (source, *displacing)]
    moved = np.empty((len(origins), LEAF_SLOTS, fields[0][1].shape[2]), np.int32)
    _motion.move(fields[0], origins, motion.shift, (motion.cubic, motion.staggered), scales, fields[1:], threads, moved)
    return moved


def _field(leaves: Leaves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaves as C++ takes them."""
    background = np.atleast_1d(leaves.background).astype(np.float64)
    values = np.ascontiguousarray(leaves.values).reshape(len(leaves.origins), LEAF_SLOTS, len(background))
    return leaves.origins, values, background
