"""Which earlier grids, of its frame or others, a grid resembles, and how those have to be moved."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.codec.block_motion import FEW, MANY, find_blocks
from neuralvdb.codec.earlier import Source
from neuralvdb.codec.grid_reference import UNIT_BYTES, GridAt, GridReference, MovedGrid, shortened
from neuralvdb.dataclass import dataclass
from neuralvdb.motion import Leaves, Motion, Velocities, Voxels, move
from neuralvdb.values import by_component
from neuralvdb.volume import Tree
from neuralvdb.volume.grid import unpack

if TYPE_CHECKING:
    from neuralvdb.values import Promise

_LEAVES, _RUN = 16, 4  # of a sample, in runs of neighbours
_ALIKE = 0.5  # of the variance, which may be left where nothing is moved
_CLOSE = 0.6  # of the variance, which may be left after all
_BETTER = 0.97  # times what is left, from which on a motion is taken
_WORTH_BLOCKS = 0.9  # the same of vectors of blocks
_WAYS = (-2.0, -1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0, 2.0)  # voxels by which these move, to begin with
_FINER = (0.75, 0.87, 1.15, 1.33)  # times that
_GAIN_PARTS = 1 << 10  # that gains between one half and one are rounded to
_NEAR = 1  # leaves' edges to which a sample may be moved


_STEPS = 8  # by one voxel, that a shift is improved by
_FAR = 64  # voxels that a grid is shifted by
_UNALIKE = 0.02  # of the variance, which is left where shifts are looked for


@dataclass(frozen=True, kw_only=True)
class Resemblance:
    """What a grid resembles, and what is left of its variance, as a share.

    velocities: the grids that move it, as GridReference has them.
    """

    source: Source
    velocities: tuple[Source, ...]
    motion: Motion
    gain: float
    left: float

    @property
    def moved(self) -> MovedGrid:
        """The same, by numbers."""
        source, *velocities = (GridAt(grid.number, grid.frame) for grid in (self.source, *self.velocities))
        return MovedGrid(source=source, velocities=tuple(velocities), motion=self.motion, gain=self.gain)


class _Target:
    """A sample of a grid, whose values count as they will be coded: less where steps are wider."""

    def __init__(self, tree: Tree, promise: Promise) -> None:
        self.promise, self.quantiser = promise, promise.quantiser
        first = np.linspace(0, max(len(tree.leaf) - _RUN, 0), _LEAVES // _RUN).astype(np.int64)
        at = (first[:, None] + np.arange(_RUN)).clip(0, len(tree.leaf) - 1)
        leaves = np.flatnonzero(np.bincount(at.ravel()))
        self.tree, self._voxels = tree, Voxels(tree.leaf_origins[leaves], tree.leaf.active[leaves])
        self._leaves: dict[object, Leaves] = {}
        self._active = unpack(self._voxels.active)
        values = self._of_active(tree.leaf.values[leaves].astype(np.float64))
        self._values, self._exact = values, self.quantiser.exact(values)
        self.variance = float(((self._exact - self._exact.mean(0)) ** 2).sum()) if len(values) else 0.0

    def compare(self, source: Source, velocities: tuple[Source, ...], motion: Motion) -> Resemblance:
        """How much of the sample a motion of the source leaves, the best gain taken."""
        fields = [self._near(velocity, motion) for velocity in velocities]
        moves = Velocities(fields[0], fields[-1]) if fields else None
        moved = move(self._near(source, motion), self._voxels, motion, moves)
        said = self._of_active(moved.astype(np.float64) * motion.unit)
        weighted = said * self._slope(said) ** 2
        power = float((weighted * said).sum())
        gain = _rounded(float((weighted * self._values).sum()) / power) if 0 < power < np.inf else 0.0
        missed = float(((self._exact - self.quantiser.exact(gain * said)) ** 2).sum())
        left = missed / self.variance if missed < np.inf else np.inf
        return Resemblance(source=source, velocities=velocities, motion=motion, gain=gain, left=left)

    @property
    def noise(self) -> float:
        """What decoding may be off by, as a share of the variance."""
        return self._exact.size * self.promise.noise / self.variance

    def _slope(self, values: np.ndarray) -> np.ndarray:
        """How much less than without companding values differ once they are companded, about."""
        knee = self.quantiser.knee * self.quantiser.unit
        return knee / (knee + np.abs(values)) if knee else np.ones_like(values)

    def _near(self, source: Source, motion: Motion) -> Leaves:
        """The leaves of a grid around the sample, where that comes from."""
        bricks = _NEAR + any(motion.shift) + (motion.blocks is not None)
        back = tuple(-voxels & ~7 for voxels in motion.shift)
        key = source.number, source.frame, bricks, back
        if key not in self._leaves:
            origins = self._voxels.origins + np.array(back, np.int32)
            self._leaves[key] = Leaves.of(source.tree).near(origins, bricks)
        return self._leaves[key]

    def _of_active(self, values: np.ndarray) -> np.ndarray:
        """(n, C) of (leaves, 512[, C])."""
        active: np.ndarray = values.reshape(*self._active.shape, -1)[self._active]
        return active


def find_references(name: bytes, tree: Tree, promise: Promise, earlier: Sequence[Source]) -> list[GridReference]:
    """The earlier grids, moved or not, that the tree of a grid may be coded with in view: none, or the closest one;
    where there are two other frames and both have one that is close, the mean of these too."""
    with np.errstate(over="ignore", invalid="ignore"):  # of values that are not finite, or nearly so
        target = _Target(tree, promise)
        if not 0 < target.variance < np.inf:
            return []
        still = Motion(unit=shortened(promise.quantiser.unit, UNIT_BYTES))
        components = by_component(tree.leaf).shape[2]
        alike = [source for source in earlier if source.components == components]
        same = [_same(alike, name, frame) for frame in (1, 2)]
        enough = target.noise if all(same) else 0.0
        before = [best for of_frame in same for best in _of_before(target, still, of_frame, earlier, enough)]
        close = sorted([*_in_frame(target, still, _of(alike, 0), earlier), *before], key=lambda each: each.left)
        means = [before] if len(before) > 1 and before[1].left <= _CLOSE and before[0].left <= _CLOSE else []
        ways = [[best] for best in close[:1] if best.left <= _CLOSE]
        return [GridReference(tuple(each.moved for each in way)) for way in [*ways, *means]]


@dataclass(frozen=True)
class Left:
    """What the best grid of another frame leaves of a grid's variance once it is moved, as a share, and what decoding
    may be off by, likewise."""

    share: float
    noise: float


def measure_before(name: bytes, tree: Tree, promise: Promise, earlier: Sequence[Source]) -> Left | None:
    """What is left of the tree of a grid by a grid of the first of the other frames; None where that has none, or where
    there is nothing to speak of."""
    with np.errstate(over="ignore", invalid="ignore"):
        target = _Target(tree, promise)
        if not 0 < target.variance < np.inf:
            return None
        still = Motion(unit=shortened(promise.quantiser.unit, UNIT_BYTES))
        components = by_component(tree.leaf).shape[2]
        alike = [source for source in earlier if source.components == components]
        (best,) = _of_before(target, still, _same(alike, name, 1), earlier) or (None,)
        return None if best is None else Left(best.left, target.noise)


def _of(sources: Sequence[Source], frame: int) -> list[Source]:
    """Those of a frame, as GridAt has it."""
    return [source for source in sources if source.frame == frame]


def _same(alike: Sequence[Source], name: bytes, frame: int) -> list[Source]:
    """Those of a frame that may be what a grid was."""
    return [source for source in _of(alike, frame) if source.components == 3 or source.name == name]


def _in_frame(target: _Target, still: Motion, alike: Sequence[Source], earlier: Sequence[Source]) -> list[Resemblance]:
    """The best of the grids of the frame, where one is close."""
    best = min((target.compare(s, (), still) for s in alike), key=lambda resemblance: resemblance.left, default=None)
    if best is None or best.left > _ALIKE:
        return []
    velocities = [source for source in _of(earlier, 0) if source.components == 3][-1:]
    return [_moved(target, best, tuple(velocities)) if velocities else best]


def _of_before(
    target: _Target, still: Motion, alike: Sequence[Source], earlier: Sequence[Source], enough: float = 0.0
) -> list[Resemblance]:
    """The best of the grids of another frame. enough: what may be left for vectors of blocks not to be sought."""
    best = min((target.compare(s, (), still) for s in alike), key=lambda resemblance: resemblance.left, default=None)
    if best is None:
        return []
    if best.left > _UNALIKE:
        best = _shifted(target, best)
    velocities = [source for source in earlier if source.components == 3]
    now, before = _of(velocities, 0)[-1:], _of(velocities, best.source.frame)
    then = [s for s in before if s.name in {v.name for v in now} | {best.source.name}]
    shifted = best
    if moving := (*now, *then[-1:]) or tuple(before[:1]):
        best = _moved(target, shifted, moving)
    seek_blocks = shifted.source.components == 1 and best.left > enough
    return [_moved_by_blocks(target, shifted, best) if seek_blocks else best]


def _moved_by_blocks(target: _Target, still: Resemblance, best: Resemblance) -> Resemblance:
    """The best of a source that is moved by vectors of blocks, and of what is best without; `still` is not moved."""
    if still.gain == 0:
        return best
    source, moved = Leaves.of(still.source.tree), still
    for most in (FEW, MANY):
        blocks = find_blocks(target.tree, source, still.motion, target.promise, most)
        moved = target.compare(still.source, (), replace(still.motion, blocks=blocks))
        if blocks is None or moved.left >= best.left * _WORTH_BLOCKS:
            return best
    cubic = target.compare(still.source, (), replace(moved.motion, cubic=True))
    return cubic if cubic.left < moved.left * _BETTER else moved


def _shifted(target: _Target, best: Resemblance) -> Resemblance:
    """The best shift of a source, from where the middles of both are on each other, or from none."""
    apart = _middle(target.tree) - _middle(best.source.tree)
    shift = (int(apart[0]), int(apart[1]), int(apart[2]))
    if max(map(abs, shift)) > _FAR:
        return best

    def attempt(shift: tuple[int, ...]) -> None:
        nonlocal best
        x, y, z = shift
        shifted = target.compare(best.source, (), replace(best.motion, shift=(x, y, z)))
        best = shifted if shifted.left < best.left * _BETTER else best

    if any(shift):
        attempt(shift)
    for _ in range(_STEPS):
        begin = best
        for axis, way in itertools.product(range(3), (-1, 1)):
            attempt(tuple(voxels + way * (axis == number) for number, voxels in enumerate(begin.motion.shift)))
        if best is begin:
            break
    return best


def _middle(tree: Tree) -> np.ndarray:
    """(3,) int64: the voxel in the middle of all active ones of leaves."""
    counts = unpack(tree.leaf.active).sum(axis=1)
    origins = tree.leaf_origins.astype(np.float64)
    middle: np.ndarray = np.rint((origins * counts[:, None]).sum(0) / max(counts.sum(), 1)).astype(np.int64)
    return middle


def _rounded(gain: float) -> float:
    """A gain of few bits, so that it is the same on every machine."""
    size, exponent = math.frexp(gain if math.isfinite(gain) else 0.0)
    return math.ldexp(round(size * _GAIN_PARTS) / _GAIN_PARTS, exponent)


def _moved(target: _Target, still: Resemblance, velocities: tuple[Source, ...]) -> Resemblance:
    """The best motion of a source along velocities."""
    speed, best = velocities[0].speed, still

    def attempt(motion: Motion) -> None:
        nonlocal best
        moved = target.compare(still.source, velocities, motion)
        best = moved if moved.left < best.left * (_BETTER if best is still else 1) else best

    if not 0 < speed < np.inf:
        return still
    for way in _WAYS:
        attempt(replace(still.motion, factor=shortened(way / speed), staggered=True))
    if best is still:
        return still
    attempt(replace(best.motion, staggered=False))
    attempt(replace(best.motion, cubic=True))
    coarse = best.motion
    for times in _FINER:
        attempt(replace(coarse, factor=shortened(coarse.factor * times)))
    return best
