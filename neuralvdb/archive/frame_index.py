"""The index of a frame in an archive of many. Its bytes are drawn in FRAMES.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import xxhash
import zstandard

from neuralvdb.archive.delta import MAX_DELTA, put_delta, take_delta
from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.section import EARLIER, MAX_SECTIONS, Entry, Section, check_sharing, flags_of
from neuralvdb.archive.streams import zstd_decompress
from neuralvdb.archive.zstd_dictionary import zstd_dictionary

_LABEL = struct.Struct("<4sBHHII")  # type, flags, codec, version, grid, part
_LEVEL = 19
_LONG = 1 << 16  # bytes from which on a section has a checksum of 8 bytes, else one of 4


def checksum_of(payload: bytes) -> int:
    """The checksum of a section in an archive of many frames."""
    return shortened(xxhash.xxh3_64_intdigest(payload), len(payload))


def shortened(checksum: int, size: int) -> int:
    """What is kept of the XXH3-64 of so many bytes."""
    return checksum if size >= _LONG else checksum & 0xFFFFFFFF


def pack_labels(sections: Sequence[Section], begin: int) -> bytes:
    """What the sections of a frame are whose own bytes start at `begin`."""
    return b"".join(
        _LABEL.pack(s.kind.encode(), flags_of(s, begin), s.codec, s.version, s.grid, s.part) for s in sections
    )


def pack_frame_index(sections: Sequence[Section], begin: int, first: bytes | None) -> bytes:
    """The index of a frame whose own bytes start at `begin`. first: labels of the first frame of the group; None where
    the frame is that one itself."""
    labels, out = pack_labels(sections, begin), FieldWriter()
    if first is not None and max(len(first), len(labels)) <= MAX_DELTA:
        out.put("u8", 1)
        put_delta(out, labels, first)
    else:
        out.put("u8", 0)
        out.put_bytes(zstandard.ZstdCompressor(level=_LEVEL, dict_data=zstd_dictionary()).compress(labels))
    for section in sections:
        out.put_varint(section.size)
        out.put_varint(section.raw_size)
        out.put("u64" if section.size >= _LONG else "u32", shortened(section.checksum, section.size))
        if section.offset < begin:
            out.put_varint(section.offset)
    return out.getvalue()


def take_labels(source: FieldReader, count: int, first: bytes | None) -> bytes:
    """The labels at the beginning of an index of `count` sections. first: as in pack_frame_index(). Raises
    DamagedFile."""
    if count > MAX_SECTIONS:
        raise source.damaged(f"it declares {count} sections")
    way, size = source.take("u8"), count * _LABEL.size
    if way == 0:
        try:
            return zstd_decompress(source.take_bytes(), size, zstd_dictionary())
        except ValueError as error:
            raise source.damaged(f"it does not decompress ({error})") from error
    if way != 1 or first is None or len(first) > MAX_DELTA:
        raise source.damaged("it is coded from an index that is not there")
    labels = take_delta(source, first)
    if len(labels) != size:
        raise source.damaged(f"{len(labels)} bytes of labels belong to other than {count} sections")
    return labels


def take_entries(source: FieldReader, labels: bytes) -> Iterator[Entry]:
    """The entries of an index, of which the labels are taken. Raises DamagedFile."""
    try:
        check_sharing(labels[4 :: _LABEL.size])
    except ValueError as error:
        raise source.damaged(str(error)) from error
    for kind, flags, codec, version, grid, number in _LABEL.iter_unpack(labels):
        size, raw_size = source.take_varint(), source.take_varint()
        checksum = source.take("u64" if size >= _LONG else "u32")
        offset = source.take_varint() if flags & EARLIER else 0
        yield Entry(kind, flags, codec, version, offset, grid, number, size, raw_size, checksum)
    source.finish()
