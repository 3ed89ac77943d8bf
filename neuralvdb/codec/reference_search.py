"""Which earlier grid of a frame a grid resembles, and how that one has to be moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.codec.earlier import Source
from neuralvdb.codec.grid_reference import GridReference
from neuralvdb.dataclass import dataclass
from neuralvdb.motion import Leaves, Motion, Velocities, move
from neuralvdb.values import by_component
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import unpack

if TYPE_CHECKING:
    from neuralvdb.values import Promise

_LEAVES, _RUN = 16, 4  # of a sample, in runs of neighbours
_ALIKE = 0.5  # of the variance, which may be left where nothing is moved
_CLOSE = 0.25  # of the variance, which may be left after all
_BETTER = 0.97  # times what is left, from which on a motion is taken
_WAYS = (-2.0, -1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0, 2.0)  # voxels by which these move, to begin with
_FINER = (0.75, 0.87, 1.15, 1.33)  # times that
_GAIN_PARTS = 1 << 10  # that gains between one half and one are rounded to
_NEAR = 1  # leaves' edges to which a sample may be moved


@dataclass(frozen=True, kw_only=True)
class Resemblance:
    """What a grid resembles, and what is left of its variance, as a share.

    velocity: the grid that moves it, None where nothing moves.
    """

    source: Source
    velocity: Source | None
    motion: Motion
    gain: float
    left: float


class _Target:
    """A sample of a grid."""

    def __init__(self, tree: Tree) -> None:
        first = np.linspace(0, max(len(tree.leaf) - _RUN, 0), _LEAVES // _RUN).astype(np.int64)
        leaves = np.unique((first[:, None] + np.arange(_RUN)).clip(0, len(tree.leaf) - 1))
        self.origins = tree.leaf_origins[leaves]
        self._leaves: dict[int, Leaves] = {}
        self._active = unpack(tree.leaf.active[leaves])
        self._values = self._of_active(tree.leaf.values[leaves].astype(np.float64))
        self.variance = float(((self._values - self._values.mean(0)) ** 2).sum()) if len(self._values) else 0.0

    def compare(self, source: Source, velocity: Source | None, motion: Motion) -> Resemblance:
        """How much of the sample a motion of the source leaves, the best gain taken."""
        velocities = None if velocity is None else Velocities(*2 * [self._near(velocity)])
        moved = move(self._near(source), self.origins, motion, velocities)
        said = self._of_active(moved.astype(np.float64) * motion.unit)
        power = float((said * said).sum())
        gain = _rounded(float((said * self._values).sum()) / power) if 0 < power < np.inf else 0.0
        missed = float(((self._values - gain * said) ** 2).sum())
        left = missed / self.variance if missed < np.inf else np.inf
        return Resemblance(source=source, velocity=velocity, motion=motion, gain=gain, left=left)

    def _near(self, source: Source) -> Leaves:
        """The leaves of a grid around the sample."""
        if source.number not in self._leaves:
            self._leaves[source.number] = Leaves.of(source.tree).near(self.origins, _NEAR)
        return self._leaves[source.number]

    def _of_active(self, values: np.ndarray) -> np.ndarray:
        """(n, C) of (leaves, 512[, C])."""
        active: np.ndarray = values.reshape(*self._active.shape, -1)[self._active]
        return active


def find_reference(tree: Tree, promise: Promise, earlier: Sequence[Source]) -> GridReference | None:
    """The earlier grid that a tree may be coded with in view, moved or not; None where none is close."""
    with np.errstate(over="ignore", invalid="ignore"):  # of values that are not finite, or nearly so
        return _find(tree, promise, earlier)


def _find(tree: Tree, promise: Promise, earlier: Sequence[Source]) -> GridReference | None:
    target, components = _Target(tree), by_component(tree.leaf).shape[2]
    if not 0 < target.variance < np.inf:
        return None
    still = Motion(unit=promise.quantiser.unit)
    alike = [target.compare(source, None, still) for source in earlier if source.components == components]
    best = min(alike, key=lambda resemblance: resemblance.left, default=None)
    if best is None or best.left > _ALIKE:
        return None
    for velocity in [source for source in earlier if source.components == 3][-1:]:
        best = _moved(target, best, velocity)
    if best.left > _CLOSE:
        return None
    return GridReference(
        source=best.source.number,
        velocity=None if best.velocity is None else best.velocity.number,
        motion=best.motion,
        gain=best.gain,
    )


def _rounded(gain: float) -> float:
    """A gain of few bits, so that it is the same on every machine."""
    size, exponent = math.frexp(gain if math.isfinite(gain) else 0.0)
    return math.ldexp(round(size * _GAIN_PARTS) / _GAIN_PARTS, exponent)


def _moved(target: _Target, still: Resemblance, velocity: Source) -> Resemblance:
    """The best motion of a source along velocities."""
    speed, best = velocity.speed, still

    def attempt(motion: Motion) -> None:
        nonlocal best
        moved = target.compare(still.source, velocity, motion)
        best = moved if moved.left < best.left * (_BETTER if best is still else 1) else best

    if not 0 < speed < np.inf:
        return still
    for way in _WAYS:
        attempt(replace(still.motion, factor=way / speed, staggered=True))
    if best is still:
        return still
    attempt(replace(best.motion, staggered=False))
    attempt(replace(best.motion, cubic=True))
    coarse = best.motion
    for times in _FINER:
        attempt(replace(coarse, factor=coarse.factor * times))
    return best
