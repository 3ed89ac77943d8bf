"""torch transcription of topology/code_mask.py and topology/inputs.py.

1. A cell has a parent, whose place in the level above is given, and an octant; where bricks have one cell it is its
   own parent. Its inputs are 16 times the states at offsets from the parent in the level above, from the cell in the
   level itself, and from the cell in the reference. Coordinates beyond the bricks around are clamped.
2. The network gives two logits in 1/16; class = clamp((logit >> 2) + 32, 0, 63), which is a probability in the table.
3. The first symbol of a cell says whether any of its bits is set. Unless cells are bits, cells with a bit set have a
   second symbol that says whether all are, so the state of a cell is

       -1 where the first symbol is 0, else the second symbol; of bits 2 * first symbol - 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neuralvdb.kernels.classify_masks import Classified
from neuralvdb.kernels.classify_masks.points import ABOVE, INPUTS, ONE, REFERENCE, SAME
from neuralvdb.kernels.network.reference import forward
from neuralvdb.kernels.rans import Segments
from neuralvdb.kernels.rans.reference import decode as symbols_of

if TYPE_CHECKING:
    from neuralvdb.kernels.classify_masks import Cells, MaskLevel, Phase

_ONE, _CLASSES = 16, 64


def decode(level: MaskLevel, cells: Cells, phase: Phase, slots: torch.Tensor, segments: Segments) -> None:
    """Arguments as in the package."""
    brick, offset = cells_below(level, cells.parents, phase.octant)
    first, second = _classes(level, brick, offset, phase)
    occupied = symbols_of(slots, first, cells.starts, segments) != 0
    if level.states.shape[1] == 512:
        states = 2 * occupied.to(torch.int8) - 1
    else:
        states = occupied.to(torch.int8) - 1
        starts = torch.nn.functional.pad(occupied.cumsum(0), (1, 0))[cells.starts]
        states[occupied] = symbols_of(slots, second[occupied], starts, segments).to(torch.int8)
    level.states[brick, offset] = states


def classify(level: MaskLevel, cells: Cells, phase: Phase, exact: torch.Tensor) -> Classified:
    """Arguments as in the package."""
    brick, offset = cells_below(level, cells.parents, phase.octant)
    classes, states = _classes(level, brick, offset, phase), exact[brick, offset]
    level.states[brick, offset] = states
    return Classified(classes=classes, states=states)


def _classes(level: MaskLevel, brick: torch.Tensor, offset: torch.Tensor, phase: Phase) -> torch.Tensor:
    out = forward(inputs(level, brick, offset, phase.points), phase.network)
    return ((out >> 2) + _CLASSES // 2).clamp(0, _CLASSES - 1).to(torch.uint8).T.contiguous()


def cells_below(level: MaskLevel, parents: torch.Tensor, octant: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bricks and offsets (n,) int64 of the cells of an octant."""
    n, m = (round(array.shape[1] ** (1 / 3)) for array in (level.states, level.above))
    brick, parent = parents.long() // m**3, parents.long() % m**3
    if n == 1:
        return brick, parent
    x, y, z = parent // (m * m), parent // m % m, parent % m
    return brick, ((2 * x + (octant >> 2)) * n + 2 * y + (octant >> 1 & 1)) * n + 2 * z + (octant & 1)


def inputs(level: MaskLevel, brick: torch.Tensor, offset: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(n, 128) int8 inputs of cells."""
    n = round(level.states.shape[1] ** (1 / 3))
    at = torch.stack([offset // (n * n), offset // n % n, offset % n], 1)
    columns = torch.zeros((len(brick), INPUTS), dtype=torch.int8, device=brick.device)
    for kind, states in ((ABOVE, level.above), (SAME, level.states), (REFERENCE, level.reference)):
        if states is not None:
            of_kind, parent = points[3] == kind, at // (n // round(states.shape[1] ** (1 / 3)))
            columns[:, of_kind] = _ONE * _look(states, level.near[brick], parent, points[:3, of_kind].T.long())
    return columns.masked_fill_(points[3] == ONE, _ONE)


def _look(states: torch.Tensor, near: torch.Tensor, at: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """States (N, m) at `at` (N, 3) plus `offsets` (m, 3), around bricks whose neighbours are `near` (N, 27)."""
    n = round(states.shape[1] ** (1 / 3))
    x, y, z = (at[:, None] + offsets).clamp(-n, 2 * n - 1).unbind(2)
    look = near.long().gather(1, (x // n * 3 + y // n) * 3 + z // n + 13)
    return states[look, (x % n * n + y % n) * n + z % n]
