"""Archives of many frames whose checksums are right and whose header, directory or indexes lie."""

from __future__ import annotations

import io
import random
import struct
import tempfile
from dataclasses import replace

import xxhash
import zstandard
from mutations import damage, huge_or_tiny

from neuralvdb.archive import ArchiveReader, FieldReader, FieldWriter, FrameLabel, SequenceWriter
from neuralvdb.archive.container import _HEADER
from neuralvdb.archive.directory import FrameEntry, pack_directory, unpack_directory
from neuralvdb.archive.formats import is_readable
from neuralvdb.archive.frame_index import take_labels

_FIELDS = ((0, 4), (4, 1), (5, 2), (7, 2), (9, 4), (13, 4))  # of a label, where they lie and how many bytes: FRAMES.md


def attack_frames(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Name and bytes of a hostile archive made of one of many frames."""
    if rng.random() < 0.4:
        return "payload", _payload(rng, data)
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


def _payload(rng: random.Random, data: bytes) -> bytes:
    """One section of a frame holds something else, or frames are in other groups."""
    out = io.BytesIO()
    writer = SequenceWriter(out)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with ArchiveReader(file.name, is_readable) as archive:
            frames = [archive.sections_of(position) for position in range(len(archive.directory))]
            victim, odds = rng.choice([section for sections in frames for section in sections]), rng.random()
            for position, sections in enumerate(frames):
                for section in sections:
                    payload = archive.read(section)
                    if section is victim and odds < 0.9:
                        payload = damage(rng, payload)[1] or b"?"
                    writer.add(section.label, payload, raw_size=section.raw_size)
                label = archive.directory.entry(position).label
                try:
                    writer.end_frame(label if odds < 0.9 else _in_another_group(rng, label, position))
                except ValueError:  # groups are in order of their numbers
                    writer.end_frame(label)
    writer.close()
    return out.getvalue()


def _in_another_group(rng: random.Random, label: FrameLabel, position: int) -> FrameLabel:
    """The frame in another group, or coded from other frames."""
    behind = min(position, rng.randrange(3)) if rng.random() < 0.5 else label.behind
    back = (rng.randrange(4), rng.randrange(4)) if rng.random() < 0.5 else label.back
    return replace(label, behind=behind, back=back)


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
            replace(entry, label=replace(entry.label, back=(rng.randrange(32), rng.randrange(64)))),
        )
    )
    return pack_directory(entries)


def _index(rng: random.Random, body: bytes, entries: list[FrameEntry]) -> tuple[bytes, bytes]:
    """A last frame whose sections are something else: kinds, sizes, and what they share with frames before."""
    last = entries[-1]
    begin, first, source = entries[-1 - last.label.behind].extent, None, FieldReader(body[last.extent.at :], "")
    if last.label.behind:
        first = take_labels(FieldReader(body[begin.at : begin.at + begin.size], ""), begin.count, None)
    labels = bytearray(take_labels(source, last.extent.count, first))
    numbers = bytearray(source.take_raw(source.left))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.3:
            at = rng.randrange(len(numbers))
            numbers[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
            continue
        at, size = rng.choice(_FIELDS)
        at += len(labels) // last.extent.count * rng.randrange(last.extent.count)
        value = rng.choice((rng.randrange(len(body)), rng.randrange(8), huge_or_tiny(rng, size)))
        labels[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    out = FieldWriter()
    out.put("u8", 0 if rng.random() < 0.9 else rng.randrange(3))
    out.put_bytes(zstandard.compress(bytes(labels)))
    stored = out.getvalue() + numbers
    entries[-1] = replace(
        last, extent=replace(last.extent, size=len(stored)), checksum=xxhash.xxh3_64_intdigest(stored)
    )
    return body[: last.extent.at] + stored, pack_directory(entries)


def _sealed(body: bytes, count: int, block: bytes) -> bytes:
    head = body[:20] + struct.pack("<IIQQ", count, len(block), len(body), len(body) + len(block))
    return head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head + block)) + body[52:] + block
