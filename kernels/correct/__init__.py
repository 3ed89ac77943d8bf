"""Predictions corrected by a reference: by how much that is not as it is predicted itself, and what follows from it.

By a gain and shifts of scale classes, or by a network that sees how right the reference was nearby. Letters as in
neuralvdb.kernels; A bricks of the level above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.dispatch import checked, select
from neuralvdb.kernels.network.packed import in_one_copy

SHIFTS = 5  # of scale classes
INPUTS, HIDDEN = 32, 32  # padded sizes of the network
OUTPUTS = 4
BLOCKS = 64  # of 2x2x2 points in a brick
SUMS = 5  # over the decoded points of a block: how many; |e|; |r|; |e - r|; e - r


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network. w1: (32, 32) int8; b1: (32,); w2: (4, 32); b2: (4,); shifts: (5,), these int32."""

    w1: torch.Tensor
    b1: torch.Tensor
    w2: torch.Tensor
    b2: torch.Tensor
    shifts: torch.Tensor

    @classmethod
    def of(cls, arrays: Mapping[str, torch.Tensor], device: torch.device | str) -> Weights:
        """A network of H <= 32 hidden values and I <= 32 inputs on a device, of arrays of the fields' names."""
        room = {
            "w1": torch.zeros((HIDDEN, INPUTS), dtype=torch.int8),
            "b1": torch.zeros(HIDDEN, dtype=torch.int32),
            "w2": torch.zeros((OUTPUTS, HIDDEN), dtype=torch.int32),
            "b2": torch.zeros(OUTPUTS, dtype=torch.int32),
            "shifts": torch.zeros(1 + OUTPUTS, dtype=torch.int32),
        }
        for name, padded in room.items():
            padded[tuple(slice(size) for size in arrays[name].shape)] = arrays[name]
        return cls(**dict(zip(room, in_one_copy(list(room.values()), device), strict=True)))


@dataclass(frozen=True, kw_only=True)
class Above:
    """What is said of the level above.

    sums: (A, 5, 64) int64;
    step: quantisation step of its residuals;
    parents: (B,) int32, eight times the brick above that a brick lies in, plus its octant there, whose bits are 0 along
    axes on which the levels do not differ; bricks from A on have no sums;
    split_axes: bits 4, 2 and 1: whether the levels differ along axis 0, 1 and 2.
    """

    sums: torch.Tensor
    step: int
    parents: torch.Tensor
    split_axes: int

    def __post_init__(self) -> None:
        checked("above", self.sums, torch.int64, None, SUMS, BLOCKS)
        checked("parents", self.parents, torch.int32, None)


@dataclass(frozen=True, kw_only=True)
class PassView:
    """What the points of a pass see.

    level, axis, phase: of the pass;
    quant_step: of the level's residuals, in lattice units;
    sums: (B, 5, 64) int64, of what earlier passes of the level decoded;
    above: of the level above; None on the first level.
    """

    level: int
    axis: int
    phase: int
    quant_step: int
    sums: torch.Tensor
    above: Above | None

    def __post_init__(self) -> None:
        checked("sums", self.sums, torch.int64, None, SUMS, BLOCKS)
        if self.above is not None:
            checked("parents", self.above.parents, torch.int32, len(self.sums))


def innovations_of(
    reference: torch.Tensor, predictions: Predictions, destination: Destination, *, implementation: str = "auto"
) -> torch.Tensor:
    """(n,) int32: the reference less its predictions; the destination gets the reference.

    reference: (...) int32, within +-2^28, of as many numbers as the destination's values. Raises ValueError on other
    shapes or types.
    """
    checked("reference", reference.view(-1), torch.int32, destination.values.numel())
    checked("predictions", predictions.values, torch.int64, len(destination.targets))
    return select(__name__, "innovations_of", implementation, reference)(reference, predictions, destination)


def correct_by_gain(
    predictions: Predictions,
    innovations: torch.Tensor,
    gain: int,
    shifts: Sequence[int],
    quant_step: int,
    *,
    implementation: str = "auto",
) -> None:
    """Corrects predictions in place. innovations: (n,) int32; gain: in 1/16; shifts: five, of scale classes.

    Raises ValueError on other shapes or types.
    """
    checked("innovations", innovations, torch.int32, len(predictions.values))
    if len(shifts) != SHIFTS:
        raise ValueError(f"shifts: {SHIFTS} expected, not {len(shifts)}")
    run = select(__name__, "correct_by_gain", implementation, innovations)
    run(predictions, innovations, gain, tuple(shifts), quant_step)


def correct_by_network(
    predictions: Predictions,
    innovations: torch.Tensor,
    points: torch.Tensor,
    weights: Weights,
    view: PassView,
    *,
    implementation: str = "auto",
) -> torch.Tensor:
    """(n,) int32: the predictions as they were; corrects them in place. innovations, points: (n,) int32.

    Raises ValueError on other shapes or types.
    """
    checked("innovations", innovations, torch.int32, len(predictions.values))
    checked("points", points, torch.int32, len(innovations))
    run = select(__name__, "correct_by_network", implementation, innovations)
    before: torch.Tensor = run(predictions, innovations, points, weights, view)
    return before


def add_errors(
    destination: Destination,
    before: torch.Tensor,
    innovations: torch.Tensor,
    sums: torch.Tensor,
    *,
    implementation: str = "auto",
) -> None:
    """Adds the points of a pass, once they are decoded, to the sums (B, 5, 64) int64 of their blocks.

    before: (n,) int32, predictions before they were corrected; innovations: (n,) int32. Raises ValueError on other
    shapes or types.
    """
    checked("before", before, torch.int32, len(destination.targets))
    checked("innovations", innovations, torch.int32, len(before))
    checked("sums", sums, torch.int64, None, SUMS, BLOCKS)
    select(__name__, "add_errors", implementation, sums)(destination, before, innovations, sums)
