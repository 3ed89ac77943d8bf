"""What a predictor of the sample lattice sees of a point: its neighbourhood, in integers. This is the definition.

A pass along an axis codes the points midway between two known ones, in two checkerboard phases. All see 36 points that
are known before the pass, 4 along the axis by 3 by 3; those of phase 1 also the 6 nearest points of phase 0.
"""

from __future__ import annotations

import functools

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import EDGE, MAX_BASE
from neuralvdb.values.lattice.inputs import Gathered, InputGroup, InputLayout, PredictorInputs, gather, normalise
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.pass_order import Pass
from neuralvdb.values.lattice.points import Points, list_points

_LINE = (4, 13, 22, 31)  # the points on the axis itself
_SCALES = 3


def inputs_of(phase: int) -> int:
    """The number of inputs of a predictor."""
    return layout(0, phase).count


@functools.cache
def layout(axis: int, phase: int) -> InputLayout:
    """The inputs of a pass. Points lie along the axis first, then along the other two in order."""
    units = [1 if other < axis else 2 for other in range(3)]  # how far apart known points are
    first, second = (other for other in range(3) if other != axis)
    unit = np.eye(3, dtype=np.int64) * units
    along = np.eye(3, dtype=np.int64)[axis]
    known = [
        a * along + i * unit[first] + j * unit[second] for a in (-3, -1, 1, 3) for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    nearest = [sign * to for to in (2 * along, unit[first], unit[second]) for sign in (-1, 1)]
    groups = [InputGroup(offsets=np.array(known), scaling=True)]
    if phase:
        groups.append(InputGroup(offsets=np.array(nearest)))
    return InputLayout(groups=tuple(groups), line=_LINE, scales=_SCALES)


def targets(level: LatticeLevel, axis: int, phase: int) -> Points:
    """The points of a pass, in order."""
    return list_points(level.coded, in_pass(axis, phase))


@functools.cache
def in_pass(axis: int, phase: int) -> np.ndarray:
    """(512,) bool: the offsets of a pass."""
    x = np.indices((EDGE,) * 3).reshape(3, -1)
    keep = x[axis] % 2 == 1
    for later in range(axis + 1, 3):
        keep &= x[later] % 2 == 0
    units = np.where(np.arange(3) < axis, 1, 2)[:, None]  # a brick begins at an even multiple of everything
    keep &= (x // units).sum(0) % 2 == phase
    return keep


@dataclass(frozen=True)
class SampleView:
    """What predictors of the sample lattice see: a level as far as it is decoded; active_only: its active points."""

    level: LatticeLevel
    active_only: bool = False

    def layout(self, coding: Pass) -> InputLayout:
        """The inputs of a pass."""
        return layout(coding.axis, coding.phase)

    def inputs(self, points: Points, coding: Pass) -> PredictorInputs:
        """Inputs for points of a pass."""
        inputs = self.layout(coding)
        offsets = np.concatenate([group.offsets for group in inputs.groups])
        values, active = gather(self.level, points, offsets, coding.axis)
        line, on = values[:, inputs.line], active[:, inputs.line] != 0
        base = interpolated(extended(line, on) if self.active_only else line)
        distances = values - base[:, None]
        if self.active_only:
            distances *= active
        gathered = Gathered(distances=distances, active=active, centre=base, base=base)
        return normalise(gathered, inputs, coding.quant_step)


def interpolated(line: np.ndarray) -> np.ndarray:
    """(n,) int64 cubic interpolation midway between the second and the third of four points (n, 4), clamped."""
    far, near, beyond, last = line.T
    return np.clip((9 * (near + beyond) - far - last + 8) >> 4, -MAX_BASE, MAX_BASE)


def extended(line: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Four points (n, 4) on a line, of which those that are not active are extrapolated.

    Inner point: linear from the two points of the other side if both are active, else a copy of the other inner point.
    Outer point: quadratic through the other three if all are active, else linear through the inner two.
    """
    (far, near, beyond, last), (a, b, c, d) = line.T, active.T
    inner = np.where(b, near, np.where(c & d, 2 * beyond - last, beyond))
    inner_beyond = np.where(c, beyond, np.where(a & b, 2 * near - far, near))
    bend = 3 * (near - beyond)
    outer = np.where(a, far, np.where(b & c & d, bend + last, 2 * inner - inner_beyond))
    outer_beyond = np.where(d, last, np.where(a & b & c, far - bend, 2 * inner_beyond - inner))
    return np.stack([outer, inner, inner_beyond, outer_beyond], 1)
