"""Tables as what differs from a table that they resemble. The bytes are drawn in FRAMES.md."""

from __future__ import annotations

from enum import IntEnum

from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.dataclass import dataclass

MAX_DELTA = 1 << 16  # bytes of a table that is compared with another one
_STEP = 64  # bytes compared at a time
_LEAST = 3  # bytes that are taken from the base
_REPEATED = 8  # bytes that are taken from the table itself, or by so many more than from the base
_TIMES = 16  # that such bytes occurred, which are looked at
_MOVED = 16  # bytes that are looked for elsewhere in the base
_AHEAD = 128  # bytes of which less than half are in place there; and how far away


class _Kind(IntEnum):
    """What follows bytes that are taken from the base."""

    NEW = 0
    REPEATED = 1
    FORWARD = 2
    BACK = 3


@dataclass(frozen=True)
class _Change:
    """So many bytes of a kind. distance: of bytes that are repeated, from where they are."""

    kind: _Kind
    count: int
    distance: int = 0


def put_delta(out: FieldWriter, table: bytes, base: bytes) -> None:
    """Appends a table as what differs from `base`. Both have at most MAX_DELTA bytes."""
    out.put_varint(len(table))
    at = base_at = 0
    while at < len(table):
        same = _common(table, at, base, base_at)
        if _repeated(table, at).count >= same + _REPEATED:
            same = 0
        out.put_varint(same)
        at, base_at = at + same, base_at + same
        if at == len(table):
            break
        change = _change(table, at, base, base_at)
        out.put_varint(4 * change.count + change.kind)
        base_at += -change.count if change.kind is _Kind.BACK else change.count
        if change.kind is _Kind.NEW:
            out.put_raw(table[at : at + change.count])
        if change.kind is _Kind.REPEATED:
            out.put_varint(change.distance)
        if change.kind in (_Kind.NEW, _Kind.REPEATED):
            at += change.count


def take_delta(source: FieldReader, base: bytes) -> bytes:
    """The table that put_delta() wrote. Raises DamagedFile."""
    size = source.take_varint()
    if size > MAX_DELTA:
        raise source.damaged(f"a table of {size} bytes is declared")
    table, base_at = bytearray(), 0
    while len(table) < size:
        same = source.take_varint()
        if same and same > min(size - len(table), len(base) - base_at):
            raise source.damaged("it takes more of another table than there is")
        table += base[base_at : base_at + same]
        if len(table) == size:
            break
        count, kind = divmod(source.take_varint(), 4)
        base_at += same + (-count if kind == _Kind.BACK else count)
        if base_at < 0 or (kind <= _Kind.REPEATED and count > size - len(table)):
            raise source.damaged("it takes bytes that are not there, or too many")
        if kind == _Kind.NEW:
            table += source.take_raw(count)
        if kind == _Kind.REPEATED:
            distance = source.take_varint()
            if not 0 < distance <= len(table):
                raise source.damaged("it repeats bytes that are not there")
            table += (bytes(table[-distance:]) * (count // distance + 1))[:count]
    return bytes(table)


def _change(table: bytes, at: int, base: bytes, base_at: int) -> _Change:
    """What follows where the next byte is not taken from the base."""
    repeated = _repeated(table, at)
    if repeated.count:
        return repeated
    if moved := _moved(table, at, base, base_at):
        return _Change(_Kind.FORWARD if moved > 0 else _Kind.BACK, abs(moved))
    new = 1
    while at + new < len(table) and not _goes_on(table, at + new, base, base_at + new):
        new += 1
    return _Change(_Kind.NEW, new)


def _goes_on(table: bytes, at: int, base: bytes, base_at: int) -> bool:
    """Whether bytes from a place on are taken from somewhere."""
    if _common(table, at, base, base_at) >= min(_LEAST, len(table) - at):
        return True
    return bool(_repeated(table, at).count or _moved(table, at, base, base_at))


def _common(table: bytes, at: int, base: bytes, base_at: int) -> int:
    """How many bytes are the same from two places on."""
    most = max(0, min(len(table) - at, len(base) - base_at))
    a, b, same = table[at : at + most], base[base_at : base_at + most], 0
    while same + _STEP <= most and a[same : same + _STEP] == b[same : same + _STEP]:
        same += _STEP
    while same < most and a[same] == b[same]:
        same += 1
    return same


def _repeated(table: bytes, at: int) -> _Change:
    """The most bytes from a place on that occurred before it, of the last times that they did; none where that are
    few."""
    key, before = table[at : at + _REPEATED], at
    best = _Change(_Kind.REPEATED, 0)
    for _ in range(_TIMES if len(key) == _REPEATED else 0):
        before = table.rfind(key, 0, before + _REPEATED - 1)
        if before < 0:
            break
        count = _common(table, at, table, before)
        if count > best.count:
            best = _Change(_Kind.REPEATED, count, at - before)
    return best


def _moved(table: bytes, at: int, base: bytes, base_at: int) -> int:
    """How far from their place in the base the bytes from a place on are; 0 where they are not, or have few others."""
    if len(table) - at < _MOVED:
        return 0
    found = base.find(table[at : at + _MOVED], max(0, base_at - _AHEAD), base_at + _AHEAD)
    if found < 0:
        return 0
    ahead = zip(table[at : at + _AHEAD], base[base_at : base_at + _AHEAD], strict=False)
    return found - base_at if 2 * sum(a == b for a, b in ahead) < min(_AHEAD, len(table) - at) else 0
