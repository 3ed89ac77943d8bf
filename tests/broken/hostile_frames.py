"""Archives of many frames whose checksums are right and whose header, directory or indexes lie."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import xxhash
import zstandard
from mutations import damage, huge_or_tiny

from neuralvdb.archive.container import _HEADER
from neuralvdb.archive.directory import FrameEntry, pack_directory, unpack_directory
from neuralvdb.archive.section import ENTRY_SIZE
from neuralvdb.archive.streams import zstd_decompress
from neuralvdb.archive.zstd_dictionary import zstd_dictionary

# Where the fields of a section lie in an index, and how many bytes they have: SPEC.md.
_FIELDS = (
    (0, 4),
    (4, 1),
    (6, 2),
    (8, 2),
    (10, 6),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 8),
    (40, 8),
)


def attack_frames(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Name and bytes of a hostile archive made of one of many frames."""
    count, _, at = struct.unpack_from("<IIQ", data, 20)
    directory = unpack_directory(data[at:], count, _HEADER.size + 8, at)
    entries, body = [directory.entry(position) for position in range(count)], data[:at]
    lie = rng.choice(("directory", "entries", "index", "index", "index"))
    if lie == "directory":
        return lie, _sealed(body, count, damage(rng, data[at:])[1])
    if lie == "entries":
        return lie, _sealed(body, count if rng.random() < 0.9 else huge_or_tiny(rng, 4), _entries(rng, entries))
    body, block = _index(rng, body, entries)
    return lie, _sealed(body, count, block)


def _entries(rng: random.Random, entries: list[FrameEntry]) -> bytes:
    """A directory in which frames lie elsewhere, are larger or are called otherwise."""
    position = rng.randrange(len(entries))
    entry = entries[position]
    number = huge_or_tiny(rng, 4)
    entries[position] = rng.choice(
        (
            replace(entry, extent=replace(entry.extent, count=number)),
            replace(entry, extent=replace(entry.extent, size=number)),
            replace(entry, extent=replace(entry.extent, at=entry.extent.begin + number)),
            replace(entry, checksum=number),
            replace(entry, label=replace(entry.label, number=number)),
            replace(entry, label=replace(entry.label, name=rng.randbytes(rng.randrange(300)))),
            replace(entry, label=replace(entry.label, source_size=number)),
        )
    )
    return pack_directory(entries)


def _index(rng: random.Random, body: bytes, entries: list[FrameEntry]) -> tuple[bytes, bytes]:
    """A last frame whose sections are something else: kinds, sizes, and what they share with frames before."""
    last = entries[-1]
    index = bytearray(zstd_decompress(body[last.extent.at :], last.extent.count * ENTRY_SIZE, zstd_dictionary()))
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, size = rng.choice(_FIELDS)
        at += ENTRY_SIZE * rng.randrange(last.extent.count)
        value = rng.choice((rng.randrange(len(body)), rng.randrange(8), huge_or_tiny(rng, size)))
        index[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    stored = zstandard.compress(bytes(index))
    entries[-1] = replace(
        last, extent=replace(last.extent, size=len(stored)), checksum=xxhash.xxh3_64_intdigest(stored)
    )
    return body[: last.extent.at] + stored, pack_directory(entries)


def _sealed(body: bytes, count: int, block: bytes) -> bytes:
    head = body[:20] + struct.pack("<IIQQ", count, len(block), len(body), len(body) + len(block))
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + block)) + body[52:] + block
