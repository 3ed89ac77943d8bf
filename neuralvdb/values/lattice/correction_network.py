"""The network that corrects predictions by a reference, as far as that was right nearby. This is the definition.

    h   = clip((W1 x + b1) >> s1, 0, 255)
    out = (W2 h + b2) >> s2                          4 values, each with a shift of its own

Inputs x lie within +-127: how wide residuals are said to be, how large the innovation is, what Nearby has of three
blocks, all as log2 in 1/16; then the level, the axis and the phase of the pass. With r the innovation and d the mean of
errors less innovations in the blocks of 4x4x4 and of 2x2x2 points,

    prediction += (out[0] r + out[1] d4 + out[2] d2 + 32) >> 6;  class += out[3]
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import xxhash

from neuralvdb.dataclass import dataclass
from neuralvdb.nets.arrays import read_groups
from neuralvdb.values.lattice.constants import CLASS_OF_ONE_STEP, MAX_INPUT, MAX_PREDICTION, SCALE_CLASSES
from neuralvdb.values.lattice.inputs import log2
from neuralvdb.values.lattice.kind import FAMILIES
from neuralvdb.values.lattice.nearby import APART, COUNT, ERRORS, INNOVATIONS, SIGNED, BlockSums
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.pass_order import Pass

INPUTS, HIDDEN, OUTPUTS = 23, 24, 4
LEVELS = 4  # that inputs tell apart
GAIN_BITS = 6
MOST_GAIN, MOST_SHIFT = 127, 32  # of the outputs
_COUNT_FACTORS = (2, 16, 16)  # by which numbers of points in the three blocks become inputs
_FINEST_LOG = 64  # log2 of 1/16, negative, in 1/16
IDENTITY_BYTES = 4
_FILE = Path(__file__).with_name("corrections.npz")


@dataclass(frozen=True)
class CorrectionInputs:
    """Of n points. inputs: (n, 23) int16. sources: (n, 3) int64, innovations and means that outputs are factors of."""

    inputs: np.ndarray
    sources: np.ndarray


@dataclass(frozen=True)
class CorrectionNetwork:
    """w1: (24, 23) int8; b1: (24,) int32; w2: (4, 24) int8; b2: (4,) int32; shifts: (5,) int8, s1 and s2."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    shifts: np.ndarray

    @property
    def identity(self) -> bytes:
        """4 bytes that tell it from any other."""
        arrays = (self.w1, self.b1, self.w2, self.b2, self.shifts)
        return xxhash.xxh3_64_digest(b"".join(array.tobytes() for array in arrays))[:IDENTITY_BYTES]

    def correct(self, predicted: Predictions, visible: CorrectionInputs) -> Predictions:
        """Predictions of a pass, corrected."""
        out = self._forward(visible.inputs.astype(np.int64))
        factors, shifts = out[:, :3].clip(-MOST_GAIN, MOST_GAIN), out[:, 3].clip(-MOST_SHIFT, MOST_SHIFT)
        more = ((factors * visible.sources).sum(1) + (1 << GAIN_BITS) // 2) >> GAIN_BITS
        values = np.clip(predicted.values + more, -MAX_PREDICTION, MAX_PREDICTION).astype(np.int32)
        scale_classes = np.clip(predicted.scale_classes + shifts, 0, SCALE_CLASSES - 1).astype(np.uint8)
        return Predictions(values, scale_classes)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        first, *last = self.shifts.astype(np.int64)
        h = ((x @ self.w1.T.astype(np.int64) + self.b1) >> first).clip(0, 255)
        return (h @ self.w2.T.astype(np.int64) + self.b2) >> np.array(last)


def inputs_of(
    scale_classes: np.ndarray, innovations: np.ndarray, coding: Pass, blocks: tuple[BlockSums, ...]
) -> CorrectionInputs:
    """What a network sees. scale_classes: (n,) uint8; innovations: (n,) int64; blocks: as Nearby.blocks() gives
    them."""
    width = 4 * (scale_classes.astype(np.int64) - CLASS_OF_ONE_STEP)
    size = _log_steps(np.abs(innovations), np.ones_like(innovations), coding.quant_step)
    columns = [width, size, size - width]
    for sums, factor in zip(blocks, _COUNT_FACTORS, strict=True):
        columns += _nearby(sums, factor, width)
    pass_flags = [coding.level == level for level in range(LEVELS - 1)] + [coding.level >= LEVELS - 1]
    pass_flags += [coding.axis == axis for axis in range(3)] + [coding.phase == 1]
    columns += [np.full_like(width, MAX_INPUT * flag) for flag in pass_flags]
    means = [_mean(sums) for sums in blocks[:2]]
    inputs = np.stack(columns, 1).clip(-MAX_INPUT, MAX_INPUT).astype(np.int16)
    return CorrectionInputs(inputs, np.stack([innovations, *means], 1))


def _nearby(blocks: BlockSums, factor: int, width: np.ndarray) -> list[np.ndarray]:
    """Four inputs: how many points, and mean sizes beside the width, 0 where there are no points."""
    count = blocks.sums[:, COUNT]
    at_least = np.maximum(count, 1)
    sizes = [_log_steps(blocks.sums[:, what], at_least, blocks.step) for what in (ERRORS, INNOVATIONS, APART)]
    return [factor * count, *(np.where(count > 0, size - width, 0) for size in sizes)]


def _log_steps(total: np.ndarray, count: np.ndarray, step: int) -> np.ndarray:
    """(n,) int64: log2 of the mean in steps plus 1/16, in 1/16."""
    return log2(16 * total + count * step) - log2(count * step) - _FINEST_LOG


def _mean(blocks: BlockSums) -> np.ndarray:
    """(n,) int64: the mean of errors less innovations, halves rounded up; 0 where there are no points."""
    count = blocks.sums[:, COUNT]
    return (2 * blocks.sums[:, SIGNED] + count) // (2 * np.maximum(count, 1))


@functools.cache
def shipped(family: str) -> CorrectionNetwork | None:
    """The network that comes with the package for a family; None where there is none."""
    return _all_shipped().get(family)


@functools.cache
def _all_shipped() -> dict[str, CorrectionNetwork]:
    groups = read_groups(_FILE, [f"{family}." for family in FAMILIES])
    return {name: CorrectionNetwork(**arrays) for name, arrays in zip(FAMILIES, groups, strict=True) if arrays}
