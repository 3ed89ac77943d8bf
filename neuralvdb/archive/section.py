"""Sections of a frame, and the index that lists them. Its bytes are drawn in SPEC.md."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import zstandard

from neuralvdb.archive.streams import zstd_decompress
from neuralvdb.archive.zstd_dictionary import zstd_dictionary
from neuralvdb.dataclass import dataclass

NO_GRID = 0xFFFFFFFF
MAX_SECTIONS = 1 << 20  # of a frame
MAX_SHARED = 1 << 16  # of them, those that share the bytes of others; the rest are no more than the file has bytes

_ENTRY = struct.Struct("<4sBBHH6sIIQQQ")
ENTRY_SIZE = _ENTRY.size  # bytes that a section takes in the index, before that is compressed
_INDEX_LEVEL = 19
_REQUIRED, _SHARED, EARLIER = 1, 2, 4  # flags of a section


@dataclass(frozen=True)
class SectionLabel:
    """What a section is, before it is written."""

    kind: str
    """Four ASCII letters."""
    codec: int = 0
    version: int = 1
    grid: int = NO_GRID
    part: int = 0
    required: bool = True
    """Whether readers that do not know the section must refuse the archive."""


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """One entry of the index. raw_size: bytes of memory that decoding takes; offset and size: bytes in the file;
    shared: these bytes are an earlier section's too, of this frame or one before, and counted there."""

    kind: str
    required: bool
    codec: int
    version: int
    grid: int
    part: int
    offset: int
    size: int
    raw_size: int
    checksum: int
    shared: bool

    @property
    def label(self) -> SectionLabel:
        """What it is."""
        return SectionLabel(self.kind, self.codec, self.version, self.grid, self.part, self.required)


@dataclass(frozen=True)
class Extent:
    """Where a frame lies in a file: its sections from `begin`, then its index, of `count` sections, at `at`."""

    begin: int
    at: int
    size: int
    """Bytes of the index as stored."""
    count: int

    @property
    def total(self) -> int:
        """Bytes of all of it."""
        return self.at + self.size - self.begin


def check_label(label: SectionLabel, raw_size: int) -> None:
    """Raises ValueError where an index has no room for a section of these numbers, or its kind is not four letters."""
    try:
        _ENTRY.pack(b"", 0, 0, label.codec, label.version, b"", label.grid, label.part, 0, raw_size, 0)
    except struct.error as error:
        raise ValueError(f"section {label.kind} of grid {label.grid} has no place in an index: {error}") from error
    if len(label.kind) != 4 or not label.kind.isascii():
        raise ValueError(f"section {label.kind!r} is not called by four letters")


class Entry(NamedTuple):
    """What an index says of a section. offset: of one that lies in a frame before."""

    kind: bytes
    flags: int
    codec: int
    version: int
    offset: int
    grid: int
    part: int
    size: int
    raw_size: int
    checksum: int


def flags_of(section: Section, begin: int) -> int:
    """The flags of a section of a frame whose own bytes start at `begin`."""
    return _REQUIRED * section.required + _SHARED * section.shared + EARLIER * (section.offset < begin)


def pack_index(sections: Sequence[Section]) -> bytes:
    """The index of an archive of one frame."""
    entries = b"".join(
        _ENTRY.pack(
            s.kind.encode(), flags_of(s, 0), 0, s.codec, s.version, b"", s.grid, s.part, s.size, s.raw_size, s.checksum
        )
        for s in sections
    )
    return zstandard.ZstdCompressor(level=_INDEX_LEVEL, dict_data=zstd_dictionary()).compress(entries)


class StoredIndex:
    """The entries of the index of an archive of one frame, each made when it is asked for, as a liar may have many."""

    def __init__(self, entries: bytes) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Entry]:
        for kind, flags, _, codec, version, _, *numbers in _ENTRY.iter_unpack(self._entries):
            yield Entry(kind, flags, codec, version, 0, *numbers)


def unpack_index(index: bytes, extent: Extent) -> StoredIndex:
    """The index of an archive of one frame. Raises ValueError, which says what is damaged."""
    if extent.count > MAX_SECTIONS:
        raise ValueError(f"it declares {extent.count} sections")
    try:
        entries = zstd_decompress(index, extent.count * ENTRY_SIZE, zstd_dictionary())
    except ValueError as error:
        raise ValueError(f"its index does not decompress ({error})") from error
    check_sharing(entries[4::ENTRY_SIZE])
    return StoredIndex(entries)


def sections_in(entries: Iterable[Entry], extent: Extent, header: int) -> Iterator[Section]:
    """The sections of a frame, one after the other. header: bytes of the file before the first section of any frame.
    Raises ValueError, which says what is damaged."""
    shared_payloads = {(entry.size, entry.checksum) for entry in entries if entry.flags & _SHARED}
    firsts: dict[tuple[int, int], int] = {}  # of those, where the first section lies
    free = extent.begin
    for number, entry in enumerate(entries):
        kind, flags, codec, version, earlier, grid, part, size, raw_size, checksum = entry
        shared, what = bool(flags & _SHARED), (size, checksum)
        if size == 0:
            raise ValueError(f"section {number} is empty")
        if flags & EARLIER:
            offset = earlier
            if not shared or offset < header or offset + size > extent.begin:
                raise ValueError(f"section {number} does not lie in a frame before its own")
            firsts.setdefault(what, offset)
        elif shared and what not in firsts:
            raise ValueError(f"section {number} shares the bytes of none before it")
        else:
            offset = firsts.setdefault(what, free) if what in shared_payloads else free
        if not shared:
            offset, free = free, free + size
        name, required = kind.decode("ascii", "replace"), bool(flags & _REQUIRED)
        yield Section(name, required, codec, version, grid, part, offset, size, raw_size, checksum, shared)
    if free != extent.at:
        raise ValueError(f"its sections end at byte {free}, its index begins at {extent.at}")


def check_sharing(flags: bytes) -> None:
    """Raises ValueError where of sections of these flags too many share the bytes of others."""
    sharing = sum(flags.count(flag) for flag in range(256) if flag & _SHARED)
    if sharing > MAX_SHARED:
        raise ValueError(f"{sharing} sections share the bytes of others, {MAX_SHARED} may")
