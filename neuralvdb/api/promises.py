"""What an archive promises of a grid, for people and JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neuralvdb.codec.frame import Frame
from neuralvdb.codec.loss import MeasuredLoss
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import MissingPriors

if TYPE_CHECKING:
    from neuralvdb.values import ValuesHead


@dataclass(frozen=True, kw_only=True)
class PromiseDescription:
    """What is promised of a grid that is not lossless, and how it is coded."""

    max_error: float | None
    """In the grid's values; None where no maximum error is promised."""
    ratio: float
    """A value v may be off by `ratio` * |v| where that is more than `max_error`."""
    psnr: float
    """Least PSNR over active voxels in dB, peak = active range; 0 where none is promised."""
    lattice: str
    """The lattice that holds the values: sample or mean."""
    family: str
    """The family of networks."""
    priors: str
    """The name of the networks."""
    refined: bool
    """Whether the networks were fine-tuned to the grid."""
    fast: bool | None
    """Whether the networks have no hidden layers; None where they are missing."""
    measured: MeasuredLoss | None = None
    """What became of fog, as measured when it was encoded; None where it was not, as of all other grids."""


def promise_of(frame: Frame, index: int) -> PromiseDescription | None:
    """What is promised of the grid number `index`, None where every bit is kept. Raises DamagedFile."""
    head = frame.head(index)
    if head is None:
        return None
    try:
        fast = frame.models_of(head.models).fast
    except MissingPriors:
        fast = None
    return describe(head, fast, frame.loss(index))


def describe(head: ValuesHead, fast: bool | None, measured: MeasuredLoss | None) -> PromiseDescription:
    """What the head of a grid's values says; the rest as in PromiseDescription."""
    bound, mode = head.promise.bound, head.promise.mode
    return PromiseDescription(
        max_error=bound.max_error if math.isfinite(bound.max_error) else None,
        ratio=bound.ratio,
        psnr=bound.psnr,
        lattice=mode.lattice.value,
        family=mode.family,
        priors=head.models.hex(),
        refined=head.fine_tuned,
        fast=fast,
        measured=measured,
    )
