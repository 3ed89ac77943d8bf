"""Grids moved along velocities or by vectors of blocks: what another one says, in integers, the same everywhere."""

from neuralvdb.motion.blocks import Blocks, put_blocks, take_blocks
from neuralvdb.motion.move import move
from neuralvdb.motion.types import Leaves, Motion, Velocities, Voxels

__all__ = ["Blocks", "Leaves", "Motion", "Velocities", "Voxels", "move", "put_blocks", "take_blocks"]
