"""What a predictor of the mean lattice sees of a cell that is to be split, in integers. This is the definition.

A pass splits the cells of a level along an axis, in two checkerboard phases. Predicted is the first half's mean less
the second's. All cells see the means of 45 cells, 5 along the axis by 3 by 3; those of phase 1 also the differences of
the 6 nearest cells, which phase 0 has split.
"""

from __future__ import annotations

import functools

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import EDGE, SHARES
from neuralvdb.values.lattice.inputs import Gathered, InputGroup, InputLayout, PredictorInputs, gather, normalise
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.pass_order import Pass
from neuralvdb.values.lattice.points import Points, list_points

_LINE = (13, 22, 31)  # the cell before, the cell itself, the cell behind, along the axis
_SCALES = 4


def inputs_of(phase: int) -> int:
    """The number of inputs of a predictor."""
    return layout(0, phase).count


@functools.cache
def layout(axis: int, phase: int) -> InputLayout:
    """The inputs of a pass. Cells lie along the axis first, then along the other two in order."""
    order = [axis, *(other for other in range(3) if other != axis)]
    along, first, second = np.eye(3, dtype=np.int64)[order]
    known = [a * along + i * first + j * second for a in range(-2, 3) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    nearest = [sign * unit for unit in (along, first, second) for sign in (-1, 1)]
    groups = [InputGroup(offsets=np.array(known), scaling=True)]
    if phase:
        groups.append(InputGroup(offsets=np.array(nearest), source=1, centred=False))
    return InputLayout(groups=tuple(groups), line=_LINE, scales=_SCALES)


def targets(split: np.ndarray, phase: int) -> Points:
    """The cells of a phase, in order; split: (B, 512) uint8, whether both halves of a cell hold coded voxels."""
    return list_points(split, in_phase(phase))


@functools.cache
def in_phase(phase: int) -> np.ndarray:
    """(512,) bool: the offsets of a phase."""
    return np.indices((EDGE,) * 3).sum(0).reshape(-1) % 2 == phase


@dataclass(frozen=True)
class MeanView:
    """What predictors of the mean lattice see.

    level: companded means of the cells to be split
    differences: of the same cells, active where they are decoded
    share: (R, 512) uint8, the first half's share of each cell's coded voxels, in 1/SHARES
    """

    level: LatticeLevel
    differences: LatticeLevel
    share: np.ndarray

    def layout(self, coding: Pass) -> InputLayout:
        """The inputs of a pass."""
        return layout(coding.axis, coding.phase)

    def inputs(self, points: Points, coding: Pass) -> PredictorInputs:
        """Inputs for cells of a pass."""
        inputs = self.layout(coding)
        sources = self.level, self.differences
        groups = [gather(sources[group.source], points, group.offsets) for group in inputs.groups]
        values, active = (np.concatenate(arrays, 1) for arrays in zip(*groups, strict=True))
        centre = values[:, inputs.line[1]]
        centred = np.concatenate([np.full(len(group.offsets), group.centred) for group in inputs.groups])
        distances = (values - centre[:, None] * centred) * active
        line = distances[:, inputs.line]
        base = (line[:, 0] - line[:, 2]) >> 2
        gathered = Gathered(distances=distances, active=active, centre=centre, base=base)
        share = self.share[points.index].astype(np.int64) - SHARES // 2
        return normalise(gathered, inputs, coding.quant_step, share)
