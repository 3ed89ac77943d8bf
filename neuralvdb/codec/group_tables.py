"""Sections as what differs from those of the first frame of a group: FRAM, codec 1; VALS, codec 2; TOPO, codec 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import xxhash

from neuralvdb.archive import NO_GRID, ArchiveReader, FieldReader, FieldWriter, Section, open_table, store_table
from neuralvdb.archive.delta import MAX_DELTA, put_delta, take_delta
from neuralvdb.codec.frame_table import UUID_SIZE, FrameTable
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile

if TYPE_CHECKING:
    from neuralvdb.values import CodedValues

TABLE_FROM_FIRST = 1  # codec of FRAM
DIFFERENCES = {"VALS": 2, "TOPO": 4}  # codecs of sections of grids that are differences
WHOLE = {"VALS": (1,), "TOPO": (1, 2)}  # and of those that they are of, and to
_CODECS = 4  # more than any of these
_LONGEST = 1 << 13  # bytes of the payload of a section that is compared with another one
_UUID_AT = 13  # where a table has its uuid
_UUID_END = _UUID_AT + UUID_SIZE


@dataclass(frozen=True)
class CodedSection:
    """Codec and payload of a section of a grid."""

    codec: int
    payload: bytes


class FirstTables:
    """Tables of the first frame of a group, for an encoder of the frames behind it.

    table: of FRAM, not compressed, with short hashes. sections: of grids, by their types and the grids' names, with the
    grids' numbers.
    """

    def __init__(self, table: bytes, sections: Mapping[tuple[str, bytes], tuple[int, CodedSection]]) -> None:
        self._table, self._sections = table, sections
        self._coded = {(kind, section): section for (kind, _), (_, section) in sections.items()}

    def frame_table(self, table: bytes) -> bytes | None:
        """The payload of FRAM of codec 1; None where a table is too large for it."""
        if max(len(table), len(self._table)) > MAX_DELTA:
            return None
        out = FieldWriter()
        out.put_bytes(_packed_uuid(table[_UUID_AT:_UUID_END]))
        put_delta(out, _with_uuid(table, self._table[_UUID_AT:_UUID_END]), self._table)
        out.put("u32", _checksum(table))
        return out.getvalue()

    def section(self, kind: str, name: bytes, section: CodedSection) -> CodedSection:
        """A section of a grid as it is stored; the same ones are stored alike, so that they are shared."""
        if (kind, section) not in self._coded:
            self._coded[kind, section] = self._code(kind, name, section)
        return self._coded[kind, section]

    def _code(self, kind: str, name: bytes, section: CodedSection) -> CodedSection:
        number, first = self._sections.get((kind, name), (0, None))
        if first is None or max(len(first.payload), len(section.payload)) > _LONGEST:
            return section
        base, table = (_opened(kind, payload) for payload in (first.payload, section.payload))
        if max(len(base), len(table)) > MAX_DELTA:
            return section
        out = FieldWriter()
        out.put_varint(number * _CODECS + section.codec)
        put_delta(out, table, base)
        payload = out.getvalue()
        return CodedSection(DIFFERENCES[kind], payload) if len(payload) < len(section.payload) else section


def stored_size(tables: FirstTables | None, name: bytes, coded: CodedValues) -> int:
    """Bytes that values take behind the first frame of a group; None: where there is none."""
    section = CodedSection(coded.codec, coded.payload)
    if tables is not None and coded.codec in WHOLE["VALS"]:
        section = tables.section("VALS", name, section)
    return len(section.payload) + sum(len(chunk) for chunk in coded.chunks.values())


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
            section = self._section("FRAM", NO_GRID, (0,), where)
            if section.raw_size > MAX_DELTA:
                raise source.damaged("it is coded from too large a table")
            first = self._archive.read(section)
            table = FrameTable.unpack(first, section.raw_size, where, version=section.version)
            self._table = table.shortened().text()
        behind, checksum = _with_uuid(take_delta(source, self._table), uuid), source.take("u32")
        source.finish()
        if checksum != _checksum(behind):
            raise source.damaged("it is coded from the table of another frame")
        return behind

    def section(self, section: Section, payload: bytes, where: str) -> CodedSection:
        """What a section is that is a difference. Raises DamagedFile."""
        source, kind = FieldReader(payload, where), section.kind
        number, codec = divmod(source.take_varint(), _CODECS)
        if codec not in WHOLE[kind]:
            raise source.damaged(f"a difference cannot be of codec {codec}")
        base = self._section(kind, number, WHOLE[kind], where)
        table = take_delta(source, _opened(kind, self._archive.read(base), where))
        source.finish()
        return CodedSection(codec, store_table(table) if kind == "VALS" else table)

    def _section(self, kind: str, grid: int, codecs: tuple[int, ...], where: str) -> Section:
        """A section of the first frame. Raises DamagedFile where it has none of these codecs."""
        if not self._sections:
            self._sections = {(s.kind, s.grid): s for s in self._archive.sections_of(self.position) if not s.part}
        section = self._sections.get((kind, grid))
        if section is None or section.codec not in codecs:
            raise DamagedFile(f"{where}: it is coded from a section {kind} that is not there; get another copy")
        return section


def _opened(kind: str, payload: bytes, where: str = "values") -> bytes:
    """What a payload is compared by: of VALS the table that it holds. Raises DamagedFile."""
    if kind != "VALS":
        return payload
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
