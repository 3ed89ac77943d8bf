"""What became of the fog of a frame: its picture and its values, as measured when it was encoded (section LOSS).

The encoder measures on what decoding gives, which the contents in the table prove.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.codec.frame_table import MAX_GRIDS
from neuralvdb.dataclass import dataclass
from neuralvdb.volume import Tree

if TYPE_CHECKING:
    from neuralvdb.values import Promise

_PER_DECIBEL = 100  # units of pictures
_PER_RANGE = 100_000  # units of errors
_MOST = 1e6  # times the range; only damaged files are off by more


@dataclass(frozen=True, kw_only=True)
class MeasuredLoss:
    """What became of a scalar grid whose topology is exact."""

    promised_picture: float
    """Least T-PSNR of its picture in dB; 0 where none is promised."""
    picture: float | None
    """T-PSNR of its picture in dB; None where there is nothing to see."""
    mean_error: float
    """Largest error of the mean over 4x4x4 voxels of a leaf, inactive ones being 0, as a share of the active range."""
    voxel_error: float
    """Largest error of an active voxel, likewise."""


def measure(
    original: Tree, decoded: Tree, promise: Promise, picture: float | None = None, threads: int = 1
) -> MeasuredLoss:
    """What became of a tree that was encoded under a promise. What was not finite is exact and counts as no error.

    promise: with the range of the tree's values. picture: T-PSNR, None where it is to be measured.
    """
    from neuralvdb.picture import measured_t_psnr, value_errors  # what reads an archive does without

    (ends,) = promise.ranges
    span, errors = ends.high - ends.low, value_errors(original.leaf, decoded.leaf, threads=threads)
    return MeasuredLoss(
        promised_picture=promise.bound.picture,
        picture=measured_t_psnr(original, decoded) if picture is None else picture,
        mean_error=_share(errors.mean, span),
        voxel_error=_share(errors.voxel, span),
    )


def _share(error: float, span: float) -> float:
    """An error as a share of the range, rounded up to whole units; 0 where halves are all the same."""
    share = error / span if span else 0.0
    return math.ceil((share if share < _MOST else _MOST) * _PER_RANGE) / _PER_RANGE  # NaN is the most, too


def pack_losses(losses: dict[int, MeasuredLoss]) -> bytes:
    """The payload of a section LOSS of grids by their numbers."""
    out = FieldWriter()
    out.put_varint(len(losses))
    for number, loss in sorted(losses.items()):
        out.put_varint(number)
        out.put_varint(round(loss.promised_picture * _PER_DECIBEL))
        out.put_varint(0 if loss.picture is None else 1 + round(loss.picture * _PER_DECIBEL))
        out.put_varint(round(loss.mean_error * _PER_RANGE))
        out.put_varint(round(loss.voxel_error * _PER_RANGE))
    return out.getvalue()


def unpack_losses(payload: bytes, where: str) -> dict[int, MeasuredLoss]:
    """The losses that pack_losses() packed. Raises DamagedFile."""
    source = FieldReader(payload, where)
    count = source.take_varint()
    if count > MAX_GRIDS:
        raise source.damaged(f"{count} grids are declared, {MAX_GRIDS} are possible")
    losses = {}
    for _ in range(count):
        number, promised, picture = source.take_varint(), source.take_varint(), source.take_varint()
        losses[number] = MeasuredLoss(
            promised_picture=promised / _PER_DECIBEL,
            picture=(picture - 1) / _PER_DECIBEL if picture else None,
            mean_error=source.take_varint() / _PER_RANGE,
            voxel_error=source.take_varint() / _PER_RANGE,
        )
    source.finish()
    return losses
