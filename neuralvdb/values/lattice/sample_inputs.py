"""What a predictor sees of a point to be coded: the sample lattice's stencils, in integers.

A pass along an axis codes the points midway between two known ones, in two checkerboard phases; all
points of a phase are independent. Order: axis 0, 1, 2; phase 0, 1. This module is the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.values import _lattice
from neuralvdb.values.lattice.levels import EDGE, ROWS, LatticeLevel, pieces

KNOWN = 36  # points of the stencil; phase 1 adds the 6 nearest points of phase 0
FACES = 6
ONE = 16  # an input of 1.0
TOP = 127  # inputs lie within plus or minus this
SCALES = 3  # inputs that are no points
MAX_BASE = 1 << 29
_LINE = [4, 13, 22, 31]  # the points of the stencil along the axis
_LOG = 4  # fraction bits of logarithms


def inputs_of(phase: int) -> int:
    """The number of inputs of a predictor."""
    return 2 * (KNOWN + FACES * phase) + SCALES


@dataclass
class Context:
    """n points of a phase. inputs: (n, inputs) int16; base: (n,) int64, the cubic interpolation; exponent: (n,) int64,
    2**exponent is the scale of what is around; scale: (n,) int64, log2 of that over the step in 1/16."""

    inputs: np.ndarray
    base: np.ndarray
    exponent: np.ndarray
    scale: np.ndarray


def targets(level: LatticeLevel, axis: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) int32 and places in the row (n,) int16 of the points of a phase, in order of rows and places."""
    place = np.stack(np.unravel_index(np.arange(EDGE**3), (EDGE,) * 3), 1)
    keep = place[:, axis] % 2 == 1
    for other in range(axis + 1, 3):
        keep &= place[:, other] % 2 == 0
    halves = place // np.where(np.arange(3) < axis, 1, 2)  # a brick begins at an even multiple of everything
    keep &= halves.sum(1) % 2 == phase
    return points(level.coded, keep)


def points(there: np.ndarray, keep: np.ndarray, implementation: str = "native") -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) int32 and places (n,) int16 of the points of `there` (B, 512) uint8 at places `keep` (512,) bool."""
    places = np.nonzero(keep)[0].astype(np.int16)
    if implementation == "native":
        count = _lattice.count(there, places)
        at = np.empty(count, np.int32), np.empty(count, np.int16)
        _lattice.points(there, places, *at)
        return at
    rows, found = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]
    for some in pieces(len(there), ROWS):
        row, index = np.nonzero(there[some][:, keep])
        rows.append((row + some.start).astype(np.int32))
        found.append(places[index])
    return np.concatenate(rows), np.concatenate(found)


def offsets(axis: int, phase: int) -> np.ndarray:
    """(36 or 42, 3) int64: where the points of the stencil lie, along the axis first, then the other two in order."""
    units = [1 if other < axis else 2 for other in range(3)]
    others = [other for other in range(3) if other != axis]
    found = []
    for along in (-3, -1, 1, 3):
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                point = [0, 0, 0]
                point[axis], point[others[0]], point[others[1]] = along, i * units[others[0]], j * units[others[1]]
                found.append(point)
    if phase:
        for other in (axis, *others):
            for sign in (-1, 1):
                point = [0, 0, 0]
                point[other] = sign * (2 if other == axis else units[other])
                found.append(point)
    return np.array(found, np.int64)


def gather(
    level: LatticeLevel, row: np.ndarray, place: np.ndarray, offset: np.ndarray, axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, m) int64 and active (n, m) int64 of the points at `offset` (m, 3) from points of bricks.

    Coordinates beyond the box are clamped to it, but of points of a pass along `axis` mirrored so that they are never
    ones yet to be coded: above it at the last one, along later axes at the last even one, below it at 0 except along
    the axis itself.
    """
    inside = np.stack(np.unravel_index(place, (EDGE,) * 3), 1)
    point = (level.cells[row] * EDGE + inside)[:, None] + offset
    last = np.array(level.table.shape) * EDGE - 1
    if axis is not None:
        point = np.where(point > last, 2 * (last - (np.arange(3) > axis)) - point, point)
        point = np.where((point < 0) & (np.arange(3) != axis), -point, point)
    point = np.clip(point, 0, last)
    rows = level.table[tuple(np.moveaxis(point // EDGE, 2, 0))]
    x, y, z = np.moveaxis(point % EDGE, 2, 0)
    places = x * 64 + y * 8 + z
    return level.values[rows, places].astype(np.int64), level.active[rows, places].astype(np.int64)


def context(
    level: LatticeLevel, row: np.ndarray, place: np.ndarray, axis: int, phase: int, step: int, inside: bool = False
) -> Context:
    """Context of points; step: of the level's residuals, in lattice units; inside: only active ones are seen."""
    values, active = gather(level, row, place, offsets(axis, phase), axis)
    line = values[:, _LINE]
    base = interpolated(extended(line, active[:, _LINE] != 0)) if inside else interpolated(line)
    delta = values - base[:, None]
    if inside:
        delta *= active
    known = slice(0, KNOWN)
    spread = (np.abs(delta[:, known]) * active[:, known]).sum(1)
    sigma = np.maximum(spread // (active[:, known].sum(1) + 1) + (step >> 2), 1)
    exponent = bit_length(sigma) - 1
    scaled = np.clip((delta * ONE) >> exponent[:, None], -TOP, TOP)
    scale = log2(sigma) - log2(np.array([step]))[0]
    size = log2(np.abs(base) + step) - log2(np.array([step]))[0]
    extra = [
        np.clip(scale, -TOP, TOP),
        np.clip(size >> 1, 0, TOP),
        np.clip((base * ONE) >> exponent, -4 * ONE, 4 * ONE),
    ]
    inputs = np.concatenate([scaled, active * ONE, np.stack(extra, 1)], 1).astype(np.int16)
    return Context(inputs, base, exponent, scale)


def interpolated(line: np.ndarray) -> np.ndarray:
    """(n,) int64 cubic interpolation midway between the second and the third of four points (n, 4), clamped."""
    far, near, beyond, last = line.T
    return np.clip((9 * (near + beyond) - far - last + 8) >> 4, -MAX_BASE, MAX_BASE)


def extended(line: np.ndarray, on: np.ndarray) -> np.ndarray:
    """Four points (n, 4) of which those that are not active are what the others go on to: an inner one on the line
    through both points of the other side, or their inner one; then an outer one on the parabola through the three
    others, or on the line through the inner ones."""
    (far, near, beyond, last), (a, b, c, d) = line.T, on.T
    one = np.where(b, near, np.where(c & d, 2 * beyond - last, beyond))
    two = np.where(c, beyond, np.where(a & b, 2 * near - far, near))
    bend = 3 * (near - beyond)
    before = np.where(a, far, np.where(b & c & d, bend + last, 2 * one - two))
    behind = np.where(d, last, np.where(a & b & c, far - bend, 2 * two - one))
    return np.stack([before, one, two, behind], 1)


def bit_length(x: np.ndarray) -> np.ndarray:
    """(n,) int64: bits of positive integers below 2**53."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def log2(x: np.ndarray) -> np.ndarray:
    """(n,) int64: log2 of positive integers in 1/16, linear between powers of two."""
    exponent = bit_length(x) - 1
    return (exponent << _LOG) + (((x << _LOG) >> exponent) - (1 << _LOG))
