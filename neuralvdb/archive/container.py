"""The .neuralvdb container: header, sections back to back, index. Its bytes are drawn in SPEC.md."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import xxhash
import zstandard

from neuralvdb.archive.streams import zstd_decompress
from neuralvdb.archive.zstd_dictionary import zstd_dictionary
from neuralvdb.errors import DamagedFile, InputError, OutputError, Unsupported, unreadable
from neuralvdb.file_kinds import ARCHIVE, HEAD, other_kind
from neuralvdb.platform import open_ordinary, read_at

MAGIC = ARCHIVE + b"\r\n\x1a\n"
MAJOR, MINOR = 1, 1
NO_GRID = 0xFFFFFFFF

_HEADER = struct.Struct("<14sHHHIIQQ")  # then the checksum of these bytes and the stored index
_HEADER_SIZE = _HEADER.size + 8
_ENTRY = struct.Struct("<4sBBHHHIIIQQQ")
ENTRY_SIZE = _ENTRY.size  # bytes that a section takes in the index, before that is compressed
_MAX_SECTIONS = 1 << 20
MAX_SHARED = 1 << 16  # sections that share the bytes of others; the rest are no more than the file has bytes
_INDEX_LEVEL = 19
_REQUIRED, _SHARED = 1, 2  # flags of a section


@dataclass(frozen=True)
class SectionLabel:
    """What a section is, before it is written."""

    kind: str
    """Four ASCII letters."""
    codec: int = 0
    version: int = 1
    frame: int = 0
    grid: int = NO_GRID
    part: int = 0
    required: bool = True
    """Whether readers that do not know the section must refuse the archive."""


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the index. raw_size: bytes of memory that decoding takes; offset and size: bytes in the file;
    shared: these bytes are an earlier section's too and counted there."""

    kind: str
    required: bool
    codec: int
    version: int
    frame: int
    grid: int
    part: int
    offset: int
    size: int
    raw_size: int
    checksum: int
    shared: bool


class ArchiveWriter:
    """Writes sections to `stream` (seekable, at its start), equal payloads once; close() adds header and index."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sections: list[Section] = []
        self._firsts: dict[tuple[int, int], tuple[int, bytes]] = {}  # (size, checksum): offset and hash
        self._shared = 0
        self._write(b"\0" * _HEADER_SIZE)
        self._end = _HEADER_SIZE

    def add(self, label: SectionLabel, payload: bytes, *, raw_size: int) -> Section:
        """Appends a section; raw_size: bytes of memory that decoding takes. Raises OutputError, ValueError where the
        payload is empty."""
        if not payload:
            raise ValueError(f"section {label.kind} of grid {label.grid} is empty")
        checksum = xxhash.xxh3_64_intdigest(payload)
        here = self._end, xxhash.xxh3_128_digest(payload)
        first = self._firsts.setdefault((len(payload), checksum), here)
        shared = first is not here and first[1] == here[1] and self._shared < MAX_SHARED
        self._shared += shared
        offset = first[0] if shared else self._end
        section = Section(
            **vars(label), offset=offset, size=len(payload), raw_size=raw_size, checksum=checksum, shared=shared
        )
        if not shared:
            self._write(payload)
            self._end += len(payload)
        self.sections.append(section)
        return section

    def close(self) -> int:
        """Writes index and header; gives the size of the archive in bytes. Raises OutputError."""
        entries = b"".join(
            _ENTRY.pack(
                s.kind.encode(),
                _REQUIRED * s.required + _SHARED * s.shared,
                0,
                s.codec,
                s.version,
                0,
                s.frame,
                s.grid,
                s.part,
                s.size,
                s.raw_size,
                s.checksum,
            )
            for s in self.sections
        )
        index = zstandard.ZstdCompressor(level=_INDEX_LEVEL, dict_data=zstd_dictionary()).compress(entries)
        self._write(index)
        total = self._end + len(index)
        head = _HEADER.pack(MAGIC, MAJOR, MINOR, 0, len(self.sections), len(index), self._end, total)
        checksum = xxhash.xxh3_64_intdigest(head + index)
        self._stream.seek(0)
        self._write(head + struct.pack("<Q", checksum))
        return total

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            name = getattr(self._stream, "name", "output")
            raise OutputError(f"{name}: cannot be written: {error.strerror}") from error


class ArchiveReader:
    """An archive's index, and its sections on demand.

    Raises InputError where the file cannot be opened, DamagedFile where its bytes break the format,
    Unsupported where a newer version or an unknown required section is needed. Unknown optional sections
    are left out of `sections`. Threads may read at the same time.
    """

    def __init__(self, path: str | os.PathLike[str], is_readable: Callable[[str, int, int], bool]) -> None:
        self.path = os.fspath(path)
        try:
            self._file = open_ordinary(self.path)
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise unreadable(self.path, error) from error
        try:
            self.sections = [s for s in self._read_index() if self._usable(s, is_readable)]
        except BaseException:
            self.close()
            raise

    def read(self, section: Section) -> bytes:
        """The payload of a section, its checksum checked. Raises DamagedFile."""
        data = self._read_at(section.offset, section.size)
        if xxhash.xxh3_64_intdigest(data) != section.checksum:
            raise self._damaged(f"checksum of section {section.kind} at byte {section.offset} does not match")
        return data

    def check(self) -> None:
        """Reads all sections, equal ones once. Raises DamagedFile where a checksum does not match."""
        for section in {section.offset: section for section in self.sections}.values():
            self.read(section)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _usable(self, section: Section, is_readable: Callable[[str, int, int], bool]) -> bool:
        if is_readable(section.kind, section.codec, section.version):
            return True
        if section.required:
            raise Unsupported(
                f"{self.path}: needs section {section.kind} with codec {section.codec} version {section.version}, "
                "which this version does not know; upgrade neuralvdb"
            )
        return False

    def _read_index(self) -> Iterator[Section]:
        kind = other_kind(self._read_at(0, min(self.size, HEAD)), ARCHIVE)
        if kind is not None:
            raise DamagedFile(f"{self.path}: damaged or not an archive: {kind}")
        if self.size < _HEADER_SIZE:
            raise self._damaged(f"it has {self.size} bytes, too few for an archive")
        head = self._read_at(0, _HEADER_SIZE)
        magic, major, _minor, _flags, count, index_size, index_at, total = _HEADER.unpack_from(head)
        if magic != MAGIC:
            raise self._damaged("it does not begin like a .neuralvdb archive")
        if major != MAJOR:
            raise Unsupported(f"{self.path}: archive version {major} is not {MAJOR}; upgrade neuralvdb")
        if total != self.size or index_at < _HEADER_SIZE or index_at + index_size != total:
            raise self._damaged(f"it should have {total} bytes but has {self.size}")
        index = self._read_at(index_at, index_size)
        if struct.pack("<Q", xxhash.xxh3_64_intdigest(head[: _HEADER.size] + index)) != head[_HEADER.size :]:
            raise self._damaged("checksum of header and index does not match")
        if count > _MAX_SECTIONS:
            raise self._damaged(f"it declares {count} sections")
        try:
            entries = zstd_decompress(index, count * ENTRY_SIZE, zstd_dictionary())
        except ValueError as error:
            raise self._damaged(f"its index does not decompress ({error})") from error
        return self._unpack_index(entries, index_at)

    def _unpack_index(self, entries: bytes, end: int) -> Iterator[Section]:
        """The sections of an index, one after the other; they end at byte `end`."""
        wanted = self._shared_payloads(entries)
        firsts: dict[tuple[int, int], int] = {}  # of those, where the first section lies
        free = _HEADER_SIZE
        for number, entry in enumerate(_ENTRY.iter_unpack(entries)):
            kind, flags, _, codec, version, _, frame, grid, part, size, raw_size, checksum = entry
            shared, what = bool(flags & _SHARED), (size, checksum)
            if size == 0:
                raise self._damaged(f"section {number} is empty")
            if shared and what not in firsts:
                raise self._damaged(f"section {number} shares the bytes of none before it")
            offset = firsts.setdefault(what, free) if what in wanted else free
            if not shared:
                offset, free = free, free + size
            name, required = kind.decode("ascii", "replace"), bool(flags & _REQUIRED)
            yield Section(name, required, codec, version, frame, grid, part, offset, size, raw_size, checksum, shared)
        if free != end:
            raise self._damaged(f"its sections end at byte {free}, its index begins at {end}")

    def _shared_payloads(self, entries: bytes) -> set[tuple[int, int]]:
        """Size and checksum of all payloads that sections share."""
        flags = entries[4::ENTRY_SIZE]
        sharing = sum(flags.count(flag) for flag in range(256) if flag & _SHARED)
        if sharing > MAX_SHARED:
            raise self._damaged(f"{sharing} sections share the bytes of others, {MAX_SHARED} may")
        return {(entry[9], entry[11]) for entry in _ENTRY.iter_unpack(entries) if entry[1] & _SHARED}

    def _read_at(self, offset: int, size: int) -> bytes:
        try:
            data = read_at(self._file, offset, size)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read at byte {offset}: {error.strerror}") from error
        if len(data) != size:
            raise self._damaged(f"it ends early, at byte {offset + len(data)}")
        return data

    def _damaged(self, what: str) -> DamagedFile:
        return DamagedFile(f"{self.path}: damaged or not an archive: {what}; get another copy")
