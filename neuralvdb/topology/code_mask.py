"""Codes one mask of bricks, coarse to fine: is there any bit in a cell, and if so, are all its bits set?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.topology.bricks import EMPTY, FULL, LEVELS, Place, halved, pyramid
from neuralvdb.topology.inputs import ORDER, Family, View, octants

Classify = Callable[[View, Family, int, np.ndarray, np.ndarray], np.ndarray]
Step = Callable[[np.ndarray, np.ndarray | None], np.ndarray]  # (classes, bits if known) -> bits
Code = Callable[..., np.ndarray]  # (where, families, truth, reference, ignore=) -> mask, as code_mask() has it


def put(coder: Encoder) -> Step:
    """A step that encodes known bits (M,) uint8."""

    def step(classes: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        assert bits is not None
        coder.put(classes, bits)
        return bits

    return step


def take(coder: Decoder) -> Step:
    """A step that decodes them."""
    return lambda classes, _: coder.take(classes)


def code_mask(
    classify: Classify,
    step: Step,
    where: Place,
    families: tuple[Family, ...],
    truth: np.ndarray | None,
    reference: np.ndarray | None = None,
    *,
    ignore: bool = False,
) -> np.ndarray:
    """The mask (B, 512) bool, `truth` where it is known, after every phase went through `step`.

    families: those of levels 0 to 3. reference: (B, 512) bool, for families that have one. With `ignore` bits that are
    set in it are not coded; they come out as 0.
    """
    exact = None if truth is None else pyramid(truth, reference if ignore else None)
    other = None if reference is None else pyramid(reference)
    above = np.zeros((len(where.coords) + 2, 1), np.int8)
    above[len(where.coords) + EMPTY], above[len(where.coords) + FULL] = -1, 1
    for k in reversed(range(LEVELS)):
        states = above.copy() if k == LEVELS - 1 else halved(above)
        for phase, row, cell in _phases(where, above, k):
            if other is not None and ignore:
                some = other[k][row, cell] < 1
                row, cell = row[some], cell[some]
            view = View(k, states, above, None if other is None else other[k], where.near)
            classes = classify(view, families[k], phase, row, cell)
            states[row, cell] = _code_cells(classes, k, step, None if exact is None else exact[k][row, cell])
        above = states
    mask = above[: len(where.coords)] > 0
    return mask & ~reference if reference is not None and ignore else mask


def _code_cells(classes: np.ndarray, k: int, step: Step, truth: np.ndarray | None) -> np.ndarray:
    """States (M,) int8 of cells of level k."""
    some = step(np.ascontiguousarray(classes[:, 0]), None if truth is None else (truth >= 0).view(np.uint8))
    states = some.astype(np.int8) - np.int8(1)
    if k == 0:
        return 2 * states + np.int8(1)
    mixed = states == 0
    every = step(classes[mixed, 1], None if truth is None else (truth[mixed] > 0).view(np.uint8))
    states[mixed] = every
    return states


def _phases(where: Place, above: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Phase, rows (M,) int32 and cells (M,) int16 to be coded: at level 3 the bricks, else children of mixed cells."""
    if k == LEVELS - 1:
        octant = octants(where.coords)
        for phase, o in enumerate(ORDER):
            row = np.flatnonzero(octant == o).astype(np.int32)
            yield phase, row, np.zeros(len(row), np.int16)
        return
    n = 8 >> k
    row, parent = (a.astype(t) for a, t in zip(np.nonzero(above[:-2] == 0), (np.int32, np.int16), strict=True))
    half = n // 2
    first = 2 * ((parent // (half * half) * n + parent // half % half) * n + parent % half)
    for phase, o in enumerate(ORDER):
        yield phase, row, first + np.int16(((o >> 2) * n + (o >> 1 & 1)) * n + (o & 1))
