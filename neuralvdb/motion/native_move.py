"""A grid moved along velocities in one call: the compiled twin of move.py (motion/native/move.h)."""

from __future__ import annotations

import numpy as np

from neuralvdb.motion import _motion
from neuralvdb.motion.field import Field
from neuralvdb.motion.types import Motion
from neuralvdb.volume.grid import LEAF_SLOTS


def native_move(
    source: Field, origins: np.ndarray, motion: Motion, displacements: list[Field], threads: int
) -> np.ndarray:
    """What move() gives, of fields in integers."""
    moved = np.empty((len(origins), LEAF_SLOTS, source.components), np.int32)
    leaves = [(field.origins, field.values, field.background) for field in (source, *displacements)]
    _motion.move(leaves[0], origins, motion.shift, (motion.cubic, motion.staggered), leaves[1:], threads, moved)
    return moved
