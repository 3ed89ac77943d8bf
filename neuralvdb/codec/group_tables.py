"""Tables of frames as what differs from those of the first frame of their group: FRAM of codec 1, VALS of codec 2."""

from __future__ import annotations

from collections.abc import Mapping

import xxhash

from neuralvdb.archive import NO_GRID, ArchiveReader, FieldReader, FieldWriter, Section, open_table, store_table
from neuralvdb.archive.delta import MAX_DELTA, put_delta, take_delta
from neuralvdb.codec.frame_table import MAX_TABLE, UUID_SIZE
from neuralvdb.errors import DamagedFile

WHOLE_VALUES, VALUES_FROM_FIRST = 1, 2  # codecs of VALS
TABLE_FROM_FIRST = 1  # codec of FRAM
_UUID_AT = 13  # where a table has its uuid
_UUID_END = _UUID_AT + UUID_SIZE


class FirstTables:
    """Tables of the first frame of a group, for an encoder of the frames behind it.

    table: of FRAM, not compressed. values: numbers of grids and payloads of VALS of codec 1, by names of grids.
    """

    def __init__(self, table: bytes, values: Mapping[bytes, tuple[int, bytes]]) -> None:
        self._table, self._values = table, values
        self._coded = {payload: (WHOLE_VALUES, payload) for _, payload in values.values()}

    def frame_table(self, table: bytes) -> bytes | None:
        """The payload of FRAM of codec 1; None where a table is too large for it."""
        if max(len(table), len(self._table)) > MAX_DELTA:
            return None
        out = FieldWriter()
        out.put_bytes(_packed_uuid(table[_UUID_AT:_UUID_END]))
        put_delta(out, _with_uuid(table, self._table[_UUID_AT:_UUID_END]), self._table)
        out.put("u32", _checksum(table))
        return out.getvalue()

    def values(self, name: bytes, payload: bytes) -> tuple[int, bytes]:
        """Codec and payload of VALS, of codec 1 up to here; the same ones are stored alike, so that they are shared."""
        if payload not in self._coded:
            self._coded[payload] = self._code(name, payload)
        return self._coded[payload]

    def _code(self, name: bytes, payload: bytes) -> tuple[int, bytes]:
        number, first = self._values.get(name, (0, b""))
        base, table = _opened(first) if first else b"", _opened(payload)
        if not base or max(len(base), len(table)) > MAX_DELTA:
            return WHOLE_VALUES, payload
        out = FieldWriter()
        out.put_varint(number)
        put_delta(out, table, base)
        shorter = len(out.getvalue()) < len(payload)
        return (VALUES_FROM_FIRST, out.getvalue()) if shorter else (WHOLE_VALUES, payload)


class BaseTables:
    """Tables of the first frame of a group, for readers of the frames behind it. Threads may use it at the same time.

    position: of that frame.
    """

    def __init__(self, archive: ArchiveReader, position: int) -> None:
        self._archive, self.position = archive, position
        self._sections: dict[tuple[str, int], Section] = {}
        self._table = b""

    def frame_table(self, payload: bytes, where: str) -> bytes:
        """The table in a payload of FRAM of codec 1. Raises DamagedFile."""
        source = FieldReader(payload, where)
        uuid = _unpacked_uuid(bytes(source.take_bytes()))
        if not self._table:
            section = self._section("FRAM", NO_GRID, 0, where)
            if section.raw_size > MAX_DELTA:
                raise source.damaged("it is coded from too large a table")
            first = open_table(self._archive.read(section), where, section.raw_size, MAX_TABLE)
            self._table = bytes(first.take_raw(section.raw_size))
        table, checksum = _with_uuid(take_delta(source, self._table), uuid), source.take("u32")
        source.finish()
        if checksum != _checksum(table):
            raise source.damaged("it is coded from the table of another frame")
        return table

    def values(self, payload: bytes, where: str) -> bytes:
        """The payload of VALS of codec 1 in one of codec 2. Raises DamagedFile."""
        source = FieldReader(payload, where)
        section = self._section("VALS", source.take_varint(), WHOLE_VALUES, where)
        table = take_delta(source, _opened(self._archive.read(section), where))
        source.finish()
        return store_table(table)

    def _section(self, kind: str, grid: int, codec: int, where: str) -> Section:
        """A section of the first frame. Raises DamagedFile where it has none of that codec."""
        if not self._sections:
            self._sections = {(s.kind, s.grid): s for s in self._archive.sections_of(self.position) if not s.part}
        section = self._sections.get((kind, grid))
        if section is None or section.codec != codec:
            raise DamagedFile(f"{where}: it is coded from a section {kind} that is not there; get another copy")
        return section


def _opened(payload: bytes, where: str = "values") -> bytes:
    """The table in a payload of VALS of codec 1. Raises DamagedFile."""
    source = open_table(payload, where)
    return bytes(source.take_raw(source.left))


def _checksum(table: bytes) -> int:
    """Tells whether a table was decoded from the right one."""
    return xxhash.xxh3_64_intdigest(table) & 0xFFFFFFFF


def _with_uuid(table: bytes, uuid: bytes) -> bytes:
    """The table of a frame with another uuid."""
    return table[:_UUID_AT] + uuid + table[_UUID_END:]


def _packed_uuid(uuid: bytes) -> bytes:
    """A uuid in 16 bytes, where it has digits and letters as OpenVDB writes them."""
    try:
        packed = bytes.fromhex(uuid.replace(b"-", b"").decode("ascii"))
    except ValueError:
        return uuid
    return packed if _unpacked_uuid(packed) == uuid else uuid


def _unpacked_uuid(packed: bytes) -> bytes:
    """The uuid that _packed_uuid() packed."""
    if len(packed) != 16:
        return packed
    digits = packed.hex().upper()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()
