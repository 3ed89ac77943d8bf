"""Codes one mask of bricks, coarse to fine: is there any bit in a cell, and if so, are all its bits set?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.dataclass import dataclass
from neuralvdb.topology.bricks import LEVELS, OUTSIDE, Neighbours, pyramid, upsample
from neuralvdb.topology.inputs import ORDER, Family, View, octants
from neuralvdb.volume.grid import unpack


class Classify(Protocol):
    """Tells the classes of cells, as classify.Classifier does."""

    def __call__(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray, /) -> np.ndarray:
        """Classes (M, 2) uint8 of the cells `cell` (M,) int16 of bricks `brick` (M,) int32, sorted by brick."""


class BitCoder(Protocol):
    """Codes bits."""

    def __call__(self, classes: np.ndarray, bits: np.ndarray | None, /) -> np.ndarray:
        """The bits (M,) uint8 of classes (M,) uint8, which are `bits` where those are known."""


@dataclass(frozen=True)
class MaskTask:
    """A mask of B bricks to be coded.

    neighbours: of the bricks.
    families: networks of levels 0 to 3.
    truth: (B, 64) uint8, the mask where it is known.
    reference: (B, 64) uint8, for families that have one.
    skip_reference: whether bits that are set in the reference are not coded; they come out as 0.
    """

    neighbours: Neighbours
    families: tuple[Family, ...]
    truth: np.ndarray | None
    reference: np.ndarray | None = None
    skip_reference: bool = False


class CodeMask(Protocol):
    """Codes masks, as code_mask() does."""

    def __call__(self, task: MaskTask, /) -> np.ndarray:
        """The mask (B, 64) uint8."""


def encode_with(coder: Encoder) -> BitCoder:
    """A coder of known bits."""

    def put(classes: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        assert bits is not None
        coder.put(classes, bits)
        return bits

    return put


def decode_with(coder: Decoder) -> BitCoder:
    """A coder of bits that are not known yet."""

    def take(classes: np.ndarray, _: np.ndarray | None) -> np.ndarray:
        return coder.take(classes)

    return take


def code_mask(classify: Classify, code_bits: BitCoder, task: MaskTask) -> np.ndarray:
    """The mask (B, 64) uint8, `task.truth` where it is known, after every phase went through `code_bits`."""
    neighbours, ignore = task.neighbours, task.skip_reference
    truth, reference = (None if mask is None else unpack(mask) for mask in (task.truth, task.reference))
    exact = None if truth is None else pyramid(truth, reference if ignore else None)
    other = None if reference is None else pyramid(reference)
    above = np.concatenate([np.zeros(len(neighbours.coords), np.int8), OUTSIDE])[:, None]
    for k in reversed(range(LEVELS)):
        states = above.copy() if k == LEVELS - 1 else upsample(above)
        for phase, brick, cell in _phases(neighbours, above, k):
            if other is not None and ignore:
                coded = other[k][brick, cell] < 1
                brick, cell = brick[coded], cell[coded]
            view = View(k, states, above, None if other is None else other[k], neighbours.near)
            classes = classify(view, task.families[k], phase, brick, cell)
            states[brick, cell] = _code_cells(classes, k, code_bits, None if exact is None else exact[k][brick, cell])
        above = states
    mask = above[: len(neighbours.coords)] > 0
    if reference is not None and ignore:
        mask &= ~reference
    return np.packbits(mask, axis=1, bitorder="little")


def _code_cells(classes: np.ndarray, k: int, code_bits: BitCoder, truth: np.ndarray | None) -> np.ndarray:
    """States (M,) int8 of cells of level k."""
    any_set = code_bits(np.ascontiguousarray(classes[:, 0]), None if truth is None else (truth >= 0).view(np.uint8))
    states = any_set.astype(np.int8) - np.int8(1)
    if k == 0:
        return 2 * states + np.int8(1)
    mixed = states == 0
    all_set = code_bits(classes[mixed, 1], None if truth is None else (truth[mixed] > 0).view(np.uint8))
    states[mixed] = all_set
    return states


def _phases(neighbours: Neighbours, above: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Phase, rows (M,) int32 and cells (M,) int16 to be coded: at level 3 the bricks, else children of mixed cells."""
    if k == LEVELS - 1:
        octant = octants(neighbours.coords)
        for phase, o in enumerate(ORDER):
            brick = np.flatnonzero(octant == o).astype(np.int32)
            yield phase, brick, np.zeros(len(brick), np.int16)
        return
    n = 8 >> k
    brick, parent = (
        a.astype(t) for a, t in zip(np.nonzero(above[: -len(OUTSIDE)] == 0), (np.int32, np.int16), strict=True)
    )
    half = n // 2
    first = 2 * ((parent // (half * half) * n + parent // half % half) * n + parent % half)
    for phase, o in enumerate(ORDER):
        yield phase, brick, first + np.int16(((o >> 2) * n + (o >> 1 & 1)) * n + (o & 1))
