"""A phase of masks: the neighbourhood of its cells, the network, binary rANS, and the states of the cells."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from neuralvdb.kernels.classify_masks.points import INPUTS, points_of, ways
from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.rans import TOTAL, Segments

__all__ = ["Cells", "Classified", "MaskLevel", "Phase", "classify", "decode", "points_of"]


@dataclass(frozen=True, kw_only=True)
class MaskLevel:
    """States of a level of n^3 cells per brick, n = 8, 4, 2 or 1: -1 no bit set, 1 all bits set, else 0.

    states: (R, n^3) int8, those yet to be decoded 0 or what they inherit;
    above: (R, m^3) int8, of the level above, m = n / 2, or 1 where n is;
    reference: (R, n^3) int8, of another mask, or None;
    near: (B, 27) int32, the bricks at -1, 0, 1 along x, y, z around each brick, x slowest.
    """

    states: torch.Tensor
    above: torch.Tensor
    reference: torch.Tensor | None
    near: torch.Tensor

    def __post_init__(self) -> None:
        rows, cells = self.states.shape
        if cells not in (1, 8, 64, 512) or self.above.numel() >= 1 << 31:
            raise ValueError(f"states: (R, 1, 8, 64 or 512) of fewer than 2^31 parents expected, not {(rows, cells)}")
        checked("states", self.states, torch.int8, rows, cells)
        checked("above", self.above, torch.int8, rows, max(1, cells // 8))
        if self.reference is not None:
            checked("reference", self.reference, torch.int8, rows, cells)
        checked("near", self.near, torch.int32, None, 27)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The cells of a phase, those of one stream after those of another.

    parents: (n,) int32, brick * m^3 + place of each cell's parent above; the bricks themselves where each has one cell;
    starts: (D + 1,) int64, where each stream begins among them.
    """

    parents: torch.Tensor
    starts: torch.Tensor

    def __post_init__(self) -> None:
        checked("parents", self.parents, torch.int32, None)
        checked("starts", self.starts, torch.int64, None)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase of a level.

    octant: of its cells, 4 for an odd x, plus 2 for an odd y, plus 1 for an odd z;
    points: (4, 128) int32, as points_of() gives them;
    network: packed with its inputs in that order, 128 columns wide.
    """

    octant: int
    points: torch.Tensor
    network: Packed
    _ways: dict[int, torch.Tensor] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        checked("points", self.points, torch.int32, 4, INPUTS)
        checked("network", self.network.w1, torch.int8, None, INPUTS)

    def ways(self, n: int) -> torch.Tensor:
        """What ways() gives for bricks of n^3 cells, made once."""
        if n not in self._ways:
            self._ways[n] = ways(self.points, self.octant, n)
        return self._ways[n]


@dataclass(frozen=True, kw_only=True)
class Classified:
    """Cells of a phase as they are to be coded.

    classes: (2, n) uint8, of the first and of the second symbols, which only mixed and full cells have; where cells are
    bits the second row holds nothing;
    states: (n,) int8.
    """

    classes: torch.Tensor
    states: torch.Tensor


def classify(
    level: MaskLevel, cells: Cells, phase: Phase, exact: torch.Tensor, *, implementation: str = "auto"
) -> Classified:
    """What decode() is to decode of the next n cells, whose states become those in exact (R, n^3) int8.

    Raises ValueError on other shapes or types.
    """
    checked("exact", exact, torch.int8, *level.states.shape)
    classified: Classified = select(__name__, "classify", implementation, exact)(level, cells, phase, exact)
    return classified


def decode(
    level: MaskLevel,
    cells: Cells,
    phase: Phase,
    slots: torch.Tensor,
    segments: Segments,
    *,
    implementation: str = "auto",
) -> None:
    """States of the next n cells; the segments, of one stream or of several, move on.

    slots: (64, 4096) int32, as neuralvdb.kernels.rans takes them, of symbols below 2.

    The host does not wait for the device. Where words run out 0 is read, and segments.ended() will tell. Raises
    ValueError on other shapes or types.
    """
    checked("slots", slots, torch.int32, 64, TOTAL)
    select(__name__, "decode", implementation, cells.parents)(level, cells, phase, slots, segments)
