"""A grid moved in one call, and the search for how: the compiled twins of move.py (motion/native/move.h) and of
search_blocks.py (motion/native/search.h)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.motion import _motion
from neuralvdb.motion.blocks import Blocks
from neuralvdb.motion.types import Leaves, Motion, Voxels
from neuralvdb.volume.grid import LEAF_SLOTS

if TYPE_CHECKING:
    from neuralvdb.motion.search_blocks import Wanted

_NONE = Blocks((0, 0, 0), (0, 0, 0), b"")


def native_move(
    source: Leaves,
    wanted: Voxels,
    motion: Motion,
    displacing: Sequence[Leaves],
    scales: tuple[float, float],
    threads: int,
) -> np.ndarray:
    """What move() gives. scales: what values and velocities are multiplied by to be read as integers."""
    fields = [_field(leaves) for leaves in (source, *displacing)]
    moved = np.zeros((len(wanted.origins), LEAF_SLOTS, fields[0][1].shape[2]), np.int32)
    blocks = _NONE if motion.blocks is None else motion.blocks
    ways, vectors = (motion.cubic, motion.staggered), (blocks.low, blocks.array)
    voxels = wanted.origins, np.ascontiguousarray(wanted.active)
    _motion.move(fields[0], voxels, motion.shift, ways, scales, fields[1:], vectors, threads, moved)
    return moved


def native_search(source: Leaves, wanted: Wanted, motion: Motion, blocks: Blocks) -> Blocks:
    """What search_blocks() gives. blocks: the box."""
    vectors = np.zeros((*blocks.size, 3), np.int8)
    leaves = wanted.origins, wanted.values, wanted.counted.view(np.uint8)
    _motion.search(_field(source), leaves, wanted.knee, motion.shift, 1 / motion.unit, blocks.low, vectors)
    return Blocks(blocks.low, blocks.size, vectors.tobytes())


def _field(leaves: Leaves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaves as C++ takes them."""
    background = np.atleast_1d(leaves.background).astype(np.float64)
    values = np.ascontiguousarray(leaves.values).reshape(len(leaves.origins), LEAF_SLOTS, len(background))
    return leaves.origins, values, background
