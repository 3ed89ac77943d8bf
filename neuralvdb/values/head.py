"""The head of a VALS section, codec 1: what is promised, how values are coded, which networks decoding needs."""

from __future__ import annotations

import struct

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, open_table, put_array, take_array
from neuralvdb.dataclass import dataclass
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import correction_network, network_changes, tables
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.correction_network import CorrectionNetwork
from neuralvdb.values.lattice.kind import FAMILIES, kind_of
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.reference import GAINS, SHIFTS, Correction
from neuralvdb.values.promise import CodingMode, ErrorBound, Promise
from neuralvdb.values.value_range import ValueRange

_NUMBERS = struct.Struct("<5d")  # max_error, ratio, step, knee, psnr
_RANGE = struct.Struct("<2d")  # low, high; one for each component
_FIXED = 8 + _NUMBERS.size  # bytes before the ranges
_HALF, _NONNEGATIVE, _FINE_TUNED, _ACTIVE_ONLY, _REFERRED = 1, 2, 4, 8, 16  # flags
_CORRECTION = struct.Struct(f"<{GAINS}B{SHIFTS}b")


@dataclass(frozen=True, kw_only=True)
class ValuesHead:
    """The beginning of a payload.

    promise: what is promised, and how values are coded.
    models: 8 bytes, identity of the model set that decoding needs.
    table_rows: (64,) uint8, rows of that set's tables, one for each scale class.
    fine_tuned: whether network changes follow the head.
    correction: by the innovations of a reference; None where values are coded without one.
    """

    promise: Promise
    models: bytes
    table_rows: np.ndarray
    fine_tuned: bool
    correction: Correction | CorrectionNetwork | None = None


def put_head(out: FieldWriter, head: ValuesHead) -> None:
    """Appends a head."""
    bound, mode = head.promise.bound, head.promise.mode
    flags = mode.half * _HALF | mode.nonnegative * _NONNEGATIVE
    flags |= head.fine_tuned * _FINE_TUNED | mode.active_only * _ACTIVE_ONLY
    flags |= (head.correction is not None) * _REFERRED
    out.put("u8", FAMILIES.index(mode.family), flags)
    numbers = _NUMBERS.pack(bound.max_error, bound.ratio, mode.step, mode.knee, bound.psnr)
    ranges = (_RANGE.pack(ends.low, ends.high) for ends in head.promise.ranges)
    out.put_bytes(head.models + numbers + b"".join(ranges))
    put_array(out, head.table_rows - tables.default_rows(mode.family))
    if head.correction is not None:
        out.put_bytes(_packed(head.correction))


def take_head(source: FieldReader) -> ValuesHead:
    """The head that put_head() wrote. Raises DamagedFile."""
    family_number, flags = source.take("u8"), source.take("u8")
    if family_number >= len(FAMILIES) or flags > 31:
        raise source.damaged("a family of predictors that does not exist")
    family, fixed = FAMILIES[family_number], bytes(source.take_bytes())
    if len(fixed) <= _FIXED or (len(fixed) - _FIXED) % _RANGE.size:
        raise source.damaged("its numbers are too few or too many")
    max_error, ratio, step, knee, psnr = _NUMBERS.unpack(fixed[8:_FIXED])
    ranges = tuple(ValueRange(low, high) for low, high in _RANGE.iter_unpack(fixed[_FIXED:]))
    mode = CodingMode(
        lattice=kind_of(family),
        family=family,
        step=step,
        knee=knee,
        half=bool(flags & _HALF),
        nonnegative=bool(flags & _NONNEGATIVE),
        active_only=bool(flags & _ACTIVE_ONLY),
    )
    promise = Promise(ErrorBound(max_error=max_error, ratio=ratio, psnr=psnr), mode, ranges)
    if not promise.valid():
        raise source.damaged("it promises what makes no sense")
    rows = take_array(source, np.dtype(np.uint8), SCALE_CLASSES) + tables.default_rows(family)
    if (rows >= len(FAMILIES) * SCALE_CLASSES).any():
        raise source.damaged("a table that does not exist")
    return ValuesHead(
        promise=promise,
        models=fixed[:8],
        table_rows=rows,
        fine_tuned=bool(flags & _FINE_TUNED),
        correction=_take_correction(source, family) if flags & _REFERRED else None,
    )


def _packed(correction: Correction | CorrectionNetwork) -> bytes:
    if isinstance(correction, CorrectionNetwork):
        return correction.identity
    return _CORRECTION.pack(*correction.gains, *correction.shifts)


def _take_correction(source: FieldReader, family: str) -> Correction | CorrectionNetwork:
    fixed = bytes(source.take_bytes())
    if len(fixed) == correction_network.IDENTITY_BYTES:
        network = correction_network.shipped(family)
        if network is None or network.identity != fixed:
            raise source.damaged(f"a network {fixed.hex()} corrects its values, which this version does not have")
        return network
    if len(fixed) != _CORRECTION.size:
        raise source.damaged("a correction of another size")
    numbers = _CORRECTION.unpack(fixed)
    correction = Correction(numbers[:GAINS], numbers[GAINS:])
    if not correction.valid():
        raise source.damaged("a correction that makes no sense")
    return correction


def take_networks(source: FieldReader, head: ValuesHead, models: ModelSet, where: str) -> dict[NetworkKey, Network]:
    """The networks that decode: those of the head's family, with the changes that follow it. Raises DamagedFile."""
    family = head.promise.mode.family
    if family not in models.families:
        raise source.damaged("it carries priors without those of its family")
    if head.fine_tuned:
        return network_changes.take(source, where, family, models)
    return models.families[family].networks


def read_head(payload: bytes, where: str) -> ValuesHead:
    """The head of a payload. Raises DamagedFile."""
    return take_head(open_table(payload, where))
