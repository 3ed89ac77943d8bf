"""What a predictor sees of a cell that is to be split: the mean lattice's stencil, in integers. This is the definition.

A pass splits the cells of a floor along an axis, in two checkerboard phases. Predicted is the first half's mean
less the second's, from the means of the cells around; phase 1 also sees the differences of the six nearest cells.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.values.lattice.levels import EDGE, LatticeLevel
from neuralvdb.values.lattice.mean_pyramid import SHARES
from neuralvdb.values.lattice.sample_inputs import FACES, ONE, TOP, Context, bit_length, gather, log2, points

KNOWN = 45  # 5 cells along the axis by 3 by 3
_CENTRE, _BEFORE, _BEHIND = 22, 13, 31
SCALES = 4


def inputs_of(phase: int) -> int:
    """The number of inputs of a predictor."""
    return 2 * (KNOWN + FACES * phase) + SCALES


def targets(split: np.ndarray, phase: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) int32 and places (n,) int16 of a phase's cells, in order; split: (B, 512) uint8, whether both halves
    hold voxels."""
    return points(split, in_phase(phase))


def in_phase(phase: int) -> np.ndarray:
    """(512,) bool: the places of a phase."""
    return np.indices((EDGE,) * 3).sum(0).reshape(-1) % 2 == phase


def offsets(axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(45, 3) and (6, 3) int64: the stencil and the nearest cells, along the axis, then the other two in order."""
    unit = np.eye(3, dtype=np.int64)[[axis, *(other for other in range(3) if other != axis)]]
    stencil = [a * unit[0] + i * unit[1] + j * unit[2] for a in range(-2, 3) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return np.array(stencil), np.array([sign * u for u in unit for sign in (-1, 1)])


def context(
    level: LatticeLevel,
    differences: LatticeLevel,
    share: np.ndarray,
    row: np.ndarray,
    place: np.ndarray,
    axis: int,
    phase: int,
    step: int,
) -> Context:
    """Context of cells. level: means; differences: of the same cells, `active` where known; share: (R, 512) uint8."""
    stencil, nearest = offsets(axis)
    values, active = gather(level, row, place, stencil)
    centre = values[:, _CENTRE]
    delta = (values - centre[:, None]) * active
    base = (delta[:, _BEFORE] - delta[:, _BEHIND]) >> 2
    sigma = np.maximum(np.abs(delta).sum(1) // (active.sum(1) + 1) + (step >> 2), 1)
    exponent = bit_length(sigma) - 1
    parts = [np.clip((delta * ONE) >> exponent[:, None], -TOP, TOP)]
    flags = [active * ONE]
    if phase:
        near, known = gather(differences, row, place, nearest)
        parts.append(np.clip((near * known * ONE) >> exponent[:, None], -TOP, TOP))
        flags.append(known * ONE)
    scale = log2(sigma) - log2(np.array([step]))[0]
    size = log2(np.abs(centre) + step) - log2(np.array([step]))[0]
    extra = [
        np.clip(scale, -TOP, TOP),
        np.clip(size >> 1, 0, TOP),
        np.clip((centre * ONE) >> exponent, -4 * ONE, 4 * ONE),
        share[row, place].astype(np.int64) - SHARES // 2,
    ]
    inputs = np.concatenate([*parts, *flags, np.stack(extra, 1)], 1).astype(np.int16)
    return Context(inputs, base, exponent, scale)
