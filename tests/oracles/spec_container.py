"""Headers, indexes and directories of archives, read from SPEC.md alone: see spec_reader.py."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash
from spec_blocks import Cursor, require, unzstd, words

MAGIC = b"\x89neuralvdb\r\n\x1a\n"


@dataclass
class Section:
    """An entry of the index with its payload."""

    kind: str
    required: bool
    codec: int
    version: int
    grid: int
    part: int
    raw_size: int
    payload: bytes


@dataclass
class StoredFrame:
    """A frame in a file; number, name, source size, frames of its group before it and how far back those are that it is
    coded from are those of the directory, empty and 0 without one."""

    number: str
    name: bytes
    source_size: int
    behind: int
    back: tuple[int, int]
    sections: list[Section]


def read_frames(data: bytes) -> list[StoredFrame]:
    """All frames of an archive in order, every checksum checked."""
    magic, major, _minor, _flags, count, size, at, total, checksum = struct.unpack_from("<14sHHHIIQQQ", data)
    require(magic == MAGIC and major in (1, 4), "not an archive of version 1 or 4")
    require(total == len(data) and at + size == total, "sizes of the header")
    block = data[at:]
    require(checksum == xxhash.xxh3_64_intdigest(data[:44] + block), "checksum of the header")
    if major == 1:
        return [StoredFrame("", b"", 0, 0, (0, 0), read_payloads(data, read_index(block, count), 52, at))]
    return read_directory(data, Cursor(block), count, at)


def read_sections(data: bytes) -> list[Section]:
    """All sections of an archive in order."""
    return [section for frame in read_frames(data) for section in frame.sections]


def read_directory(data: bytes, directory: Cursor, count: int, at: int) -> list[StoredFrame]:
    """The frames that a directory lists."""
    require(1 <= count <= 1 << 20, "number of frames")
    columns = [directory.stream(kind, count).tolist() for kind in ("<u8", "<u4", "<u4", "<u8", "<u8", "<u2")]
    size = directory.varint()
    require(size <= 1 << 26, "size of texts")
    texts = directory.stream("u1", size).tobytes().split(b"\0")
    directory.end()
    require(len(texts) == 2 * count + 1 and texts.pop() == b"", "number of texts")
    begin, frames, first = 52, [], b""
    for i, (size, index_size, sections, checksum, source_size, group) in enumerate(zip(*columns, strict=True)):
        behind, back = group % 32, (group // 32 % 32, group // 1024)
        require(behind in (0, frames[-1].behind + 1 if frames else 0), "groups")
        require(max(back) <= behind and (back[0] != back[1] or not any(back)), "frames that one is coded from")
        end = begin + size
        index = data[end - index_size : end]
        require(checksum == xxhash.xxh3_64_intdigest(index), f"checksum of index {i}")
        labels, entries = read_frame_index(Cursor(index), sections, first if behind else None)
        first = first if behind else labels
        payloads = read_payloads(data, entries, begin, end - index_size)
        frames.append(StoredFrame(texts[2 * i].decode(), texts[2 * i + 1], source_size, behind, back, payloads))
        begin = end
    require(begin == at, "the frames do not end where the directory begins")
    require(len({frame.name for frame in frames}) == count, "two names are the same")
    return frames


@dataclass
class Entry:
    """What an index says of a section."""

    kind: bytes
    flags: int
    codec: int
    version: int
    grid: int
    part: int
    size: int
    raw_size: int
    checksum: int
    short: bool  # whether that is the lower half
    earlier: int


def read_index(index: bytes, count: int) -> list[Entry]:
    """The index of an archive of one frame."""
    require(count <= 1 << 20, "number of sections")
    data, entries = unzstd(index, 48 * count, words()), []
    for fields in struct.iter_unpack("<4sBBHH6sIIQQQ", data):
        kind, flags, zero, codec, version, earlier, grid, part, size, raw_size, checksum = fields
        require(zero == 0 and not flags & 4 and not any(earlier), "a field that should be 0")
        entries.append(Entry(kind, flags, codec, version, grid, part, size, raw_size, checksum, False, 0))
    return entries


def read_frame_index(index: Cursor, count: int, first: bytes | None) -> tuple[bytes, list[Entry]]:
    """The labels and the index of a frame of many; first: labels of the first frame of its group."""
    require(count <= 1 << 20, "number of sections")
    way = index.u8()
    require(way == 0 or (way == 1 and first is not None), "labels in another way")
    labels = index.difference(first) if way else unzstd(index.bytes(), 17 * count, words())
    require(len(labels) == 17 * count, "size of the labels")
    entries = []
    for label in struct.iter_unpack("<4sBHHII", labels):
        size, raw_size = index.varint(), index.varint()
        checksum = int.from_bytes(index.raw(4 if size < 1 << 16 else 8), "little")
        earlier = index.varint() if label[1] & 4 else 0
        entries.append(Entry(*label, size, raw_size, checksum, size < 1 << 16, earlier))
    index.end()
    return labels, entries


def read_payloads(data: bytes, entries: list[Entry], begin: int, at: int) -> list[Section]:
    """The sections of a frame that begins at byte `begin` and whose index lies at byte `at`."""
    free, sections, spans, sharing = begin, [], {}, 0
    for i, entry in enumerate(entries):
        sharing += entry.flags >> 1 & 1
        require(entry.size > 0 and sharing <= 1 << 16, f"section {i} is empty, or too many are shared")
        if entry.flags & 4:
            offset = entry.earlier
            within = offset >= 52 and offset + entry.size <= begin
            require(entry.flags & 2 and within, f"section {i} lies in no earlier frame")
        elif entry.flags & 2:
            require((entry.size, entry.checksum) in spans, f"section {i} shares the bytes of none before it")
            offset = spans[entry.size, entry.checksum]
        else:
            offset, free = free, free + entry.size
        spans.setdefault((entry.size, entry.checksum), offset)
        payload = data[offset : offset + entry.size]
        checksum = xxhash.xxh3_64_intdigest(payload) % (1 << 32 if entry.short else 1 << 64)
        require(checksum == entry.checksum, f"checksum of section {i}")
        label = entry.kind.decode(), bool(entry.flags & 1), entry.codec, entry.version, entry.grid, entry.part
        sections.append(Section(*label, entry.raw_size, payload))
    require(free == at, "the sections do not end where the index begins")
    return sections
