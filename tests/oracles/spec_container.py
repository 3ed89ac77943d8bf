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
    """A frame in a file; number, name, source size and frames of its group before it are those of the directory, empty
    and 0 without one."""

    number: str
    name: bytes
    source_size: int
    behind: int
    sections: list[Section]


def read_frames(data: bytes) -> list[StoredFrame]:
    """All frames of an archive in order, every checksum checked."""
    magic, major, _minor, _flags, count, size, at, total, checksum = struct.unpack_from("<14sHHHIIQQQ", data)
    require(magic == MAGIC and major in (1, 3), "not an archive of version 1 or 3")
    require(total == len(data) and at + size == total, "sizes of the header")
    block = data[at:]
    require(checksum == xxhash.xxh3_64_intdigest(data[:44] + block), "checksum of the header")
    if major == 1:
        return [StoredFrame("", b"", 0, 0, read_index(data, block, count, 52, at))]
    return read_directory(data, Cursor(block), count, at)


def read_sections(data: bytes) -> list[Section]:
    """All sections of an archive in order."""
    return [section for frame in read_frames(data) for section in frame.sections]


def read_directory(data: bytes, directory: Cursor, count: int, at: int) -> list[StoredFrame]:
    """The frames that a directory lists."""
    require(1 <= count <= 1 << 20, "number of frames")
    columns = [directory.stream(kind, count).tolist() for kind in ("<u8", "<u4", "<u4", "<u8", "<u8", "u1")]
    size = directory.varint()
    require(size <= 1 << 26, "size of texts")
    texts = directory.stream("u1", size).tobytes().split(b"\0")
    directory.end()
    require(len(texts) == 2 * count + 1 and texts.pop() == b"", "number of texts")
    begin, frames = 52, []
    for i, (size, index_size, sections, checksum, source_size, behind) in enumerate(zip(*columns, strict=True)):
        require(behind in (0, frames[-1].behind + 1 if frames else 0) and behind < 32, "groups")
        end = begin + size
        index = data[end - index_size : end]
        require(checksum == xxhash.xxh3_64_intdigest(index), f"checksum of index {i}")
        frame = StoredFrame(
            texts[2 * i].decode(),
            texts[2 * i + 1],
            source_size,
            behind,
            read_index(data, index, sections, begin, end - index_size),
        )
        frames.append(frame)
        begin = end
    require(begin == at, "the frames do not end where the directory begins")
    require(len({frame.name for frame in frames}) == count, "two names are the same")
    return frames


def read_index(data: bytes, index: bytes, count: int, begin: int, at: int) -> list[Section]:
    """The sections of a frame that begins at byte `begin` and whose index lies at byte `at`."""
    require(count <= 1 << 20, "number of sections")
    entries, free, sections, spans, sharing = unzstd(index, 48 * count, words()), begin, [], {}, 0
    for i in range(count):
        kind, flags, zero, codec, version, earlier, grid, part, size, raw_size, checksum = struct.unpack_from(
            "<4sBBHH6sIIQQQ", entries, 48 * i
        )
        require(zero == 0 and (flags & 4 or not any(earlier)), "a field that should be 0")
        sharing += flags >> 1 & 1
        require(size > 0 and sharing <= 1 << 16, f"section {i} is empty, or too many are shared")
        if flags & 4:
            offset = int.from_bytes(earlier, "little")
            require(flags & 2 and offset >= 52 and offset + size <= begin, f"section {i} lies in no earlier frame")
        elif flags & 2:
            require((size, checksum) in spans, f"section {i} shares the bytes of none before it")
            offset = spans[size, checksum]
        else:
            offset, free = free, free + size
        spans.setdefault((size, checksum), offset)
        payload = data[offset : offset + size]
        require(xxhash.xxh3_64_intdigest(payload) == checksum, f"checksum of section {i}")
        sections.append(Section(kind.decode(), bool(flags & 1), codec, version, grid, part, raw_size, payload))
    require(free == at, "the sections do not end where the index begins")
    return sections
