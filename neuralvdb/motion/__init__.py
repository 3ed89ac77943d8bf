"""Grids moved along velocities: what another grid says of this one, as integers that are the same everywhere."""

from neuralvdb.motion.move import move
from neuralvdb.motion.types import Leaves, Motion, Velocities

__all__ = ["Leaves", "Motion", "Velocities", "move"]
