"""Archives whose checksums are right and whose content is not: these reach the decoders behind the checksums."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xxhash
import zstandard
from hostile_tables import forged
from mutations import damage, huge_or_tiny

from neuralvdb.archive import NO_GRID, FieldWriter, Section, put_array
from neuralvdb.archive.container import _HEADER, MAGIC
from neuralvdb.archive.section import _ENTRY
from neuralvdb.codec.frame_table import FrameTable
from neuralvdb.errors import DamagedFile, Unsupported


@dataclass(frozen=True)
class Stream:
    """A stream inside a section: payload[begin:end], and the array it holds."""

    begin: int
    end: int
    array: np.ndarray


@dataclass(frozen=True)
class Piece:
    """A section, its payload and the streams in it."""

    section: Section
    payload: bytes
    streams: tuple[Stream, ...] = ()


def attack(rng: random.Random, pieces: list[Piece]) -> tuple[str, bytes, bool]:
    """Name and bytes of a hostile archive, and whether it has another table than `pieces`: what the table says
    of names, metadata and the hashes themselves is covered by checksums only."""
    before = {piece.payload for piece in pieces if piece.section.kind == "FRAM"}
    pieces, names = list(pieces), []
    for _ in range(rng.choice((1, 1, 1, 2))):
        mutation = rng.choice(_MUTATIONS)
        if pieces:
            mutation(rng, pieces)
            names.append(mutation.__name__.strip("_"))
    changed = any(piece.section.kind == "FRAM" and piece.payload not in before for piece in pieces)
    return "+".join(names), join(rng, pieces), changed


def join(rng: random.Random, pieces: list[Piece]) -> bytes:
    """An archive of `pieces` with right checksums; now and then its header and index lie about themselves."""
    packed = {number: _pack(piece.section) for number, piece in {id(piece): piece for piece in pieces}.items()}
    entries = b"".join([packed[id(piece)] for piece in pieces])  # thousands are the same
    lie = rng.random()
    if lie < 0.04:
        entries = damage(rng, entries)[1]
    index = zstandard.ZstdCompressor().compress(entries)
    if 0.04 < lie < 0.06:
        index = _bomb(rng)
    if 0.06 < lie < 0.08:
        index = damage(rng, index)[1]
    body = b"".join(piece.payload for piece in pieces if not piece.section.shared)
    at = _HEADER.size + 8 + len(body)
    fields = [MAGIC, 1, 0, 0, len(pieces), len(index), at, at + len(index)]
    if 0.08 < lie < 0.14:
        number = rng.randrange(1, len(fields))
        fields[number] = huge_or_tiny(rng, 2 if number < 4 else 4 if number < 6 else 8)
    head = _HEADER.pack(*fields)
    return head + xxhash.xxh3_64_digest(head + index)[::-1] + body + index


def _pack(section: Section) -> bytes:
    s = section
    numbers = (s.grid, s.part, s.size, s.raw_size, s.checksum)
    return _ENTRY.pack(s.kind.encode("latin1"), s.required + 2 * s.shared, 0, s.codec, s.version, bytes(6), *numbers)


def _with_payload(piece: Piece, payload: bytes, raw_size: int | None = None) -> Piece:
    section = replace(
        piece.section,
        size=len(payload),
        checksum=xxhash.xxh3_64_intdigest(payload),
        raw_size=piece.section.raw_size if raw_size is None else min(max(0, raw_size), (1 << 64) - 1),
        shared=False,
    )
    return Piece(section, payload)


def _payload(rng: random.Random, pieces: list[Piece]) -> None:
    """Bytes of a section."""
    i = rng.randrange(len(pieces))
    hot = [(0, 40)] + [(stream.begin, stream.begin + 12) for stream in pieces[i].streams]
    pieces[i] = _with_payload(pieces[i], damage(rng, pieces[i].payload, hot)[1])


def _stream_head(rng: random.Random, pieces: list[Piece]) -> None:
    """Codec, raw length, stored length or the first bytes of a stream: where zstd keeps its own lengths."""
    i = rng.randrange(len(pieces))
    if not pieces[i].streams:
        return
    stream = rng.choice(pieces[i].streams)
    payload = bytearray(pieces[i].payload)
    at = stream.begin + rng.randrange(14)
    new = bytes([rng.choice((0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
    if rng.random() < 0.3:
        new = _varint(huge_or_tiny(rng))
    payload[at : at + rng.choice((1, len(new)))] = new
    pieces[i] = _with_payload(pieces[i], bytes(payload))


def _array(rng: random.Random, pieces: list[Piece]) -> None:
    """The values of a stream, coded anew: of the old length, or of another with lengths that agree or not."""
    i = rng.randrange(len(pieces))
    if not pieces[i].streams:
        return
    stream = rng.choice(pieces[i].streams)
    raw = damage(rng, stream.array.tobytes())[1]
    if rng.random() < 0.8:  # most length checks should not see anything
        raw = raw[: stream.array.nbytes].ljust(stream.array.nbytes, b"\0")
    usable = len(raw) // stream.array.itemsize * stream.array.itemsize
    data = _coded(raw[:usable], stream.array.dtype)
    _replace_stream(rng, pieces, i, stream, data, usable - stream.array.nbytes)


def _forged_blob(rng: random.Random, pieces: list[Piece]) -> None:
    """What OpenVDB reads by itself is damaged, and the hash in the table agrees."""
    tables = [i for i, piece in enumerate(pieces) if piece.section.kind == "FRAM" and piece.streams]
    blobs = [i for i, piece in enumerate(pieces) if piece.section.kind == "BLOB" and piece.streams]
    if not tables or not blobs:
        _array(rng, pieces)
        return
    i, blob = tables[0], rng.choice(blobs)
    old = pieces[blob].streams[0].array.tobytes()
    new = damage(rng, old, [(0, 4096), (len(old) - 512, len(old))])[1]
    table = pieces[i].streams[0].array.tobytes().replace(xxhash.xxh3_128_digest(old), xxhash.xxh3_128_digest(new))
    pieces[blob] = _with_payload(pieces[blob], _coded(new), len(new))
    pieces[i] = _with_payload(pieces[i], _coded(table), len(table))


def _table(rng: random.Random, pieces: list[Piece]) -> None:
    """The table of the frame says something else; what no archive may hold stays as it was."""
    tables = [i for i, piece in enumerate(pieces) if piece.section.kind == "FRAM"]
    if not tables:
        _entry(rng, pieces)
        return
    i = tables[0]
    with contextlib.suppress(DamagedFile, Unsupported):
        section = pieces[i].section
        table = FrameTable.unpack(pieces[i].payload, section.raw_size, "seed", version=section.version)
        payload, size = forged(rng, table).pack()
        pieces[i] = _with_payload(pieces[i], payload, size)


def _differences(rng: random.Random, pieces: list[Piece]) -> None:
    """Sums of a stream of 64-bit numbers go around and come back: what looks like ascending places is not."""
    streams = [
        (i, stream) for i, piece in enumerate(pieces) for stream in piece.streams if stream.array.dtype == np.uint64
    ]
    if not streams:
        _array(rng, pieces)
        return
    i, stream = rng.choice(streams)
    array = stream.array.copy().reshape(-1)
    if array.size > 2:
        at = rng.randrange(1, array.size - 1)
        far = (1 << rng.choice((31, 32, 62, 63))) + rng.choice((-1, 0, 1, 5))
        array[at], array[at + 1] = far, (1 << 64) - far + rng.choice((0, 1, 7))
    _replace_stream(rng, pieces, i, stream, _coded(array.tobytes(), array.dtype), 0)


def _zeros(rng: random.Random, pieces: list[Piece]) -> None:
    """A stream becomes a compressed run of many zeros, whatever lengths were declared for it."""
    i = rng.randrange(len(pieces))
    if not pieces[i].streams:
        return
    stream = rng.choice(pieces[i].streams)
    bomb = _bomb(rng)
    size = zstandard.frame_content_size(bomb)
    declared = rng.choice((size, stream.array.nbytes, huge_or_tiny(rng)))
    out = bytes([rng.choice((1, 2))]) + _varint(declared) + _varint(len(bomb)) + bomb
    _replace_stream(rng, pieces, i, stream, out, size - stream.array.nbytes)


def _replace_stream(rng: random.Random, pieces: list[Piece], i: int, stream: Stream, data: bytes, growth: int) -> None:
    payload = pieces[i].payload[: stream.begin] + data + pieces[i].payload[stream.end :]
    raw_size = pieces[i].section.raw_size + (growth if rng.random() < 0.7 else 0)
    pieces[i] = _with_payload(pieces[i], payload, raw_size)


def _entry(rng: random.Random, pieces: list[Piece]) -> None:
    """One field of an entry of the index."""
    i = rng.randrange(len(pieces))
    name, width = rng.choice((("codec", 2), ("version", 2), ("grid", 4), ("part", 4), ("checksum", 8), ("size", 8)))
    value = getattr(rng.choice(pieces).section, name) if rng.random() < 0.5 else huge_or_tiny(rng, width)
    if rng.random() < 0.2:
        name, value = "kind", rng.choice(("TOPO", "VALS", "TILE", "BLOB", "FRAM", "XTRA", "\x00\xff\r\n"))
    section = replace(pieces[i].section, required=rng.random() < 0.5, **{name: value})
    pieces[i] = Piece(section, pieces[i].payload, pieces[i].streams)


def _part_number(rng: random.Random, pieces: list[Piece]) -> None:
    """Which chunk and layer a section says it has."""
    tiles = [i for i, piece in enumerate(pieces) if piece.section.kind == "TILE"]
    if not tiles:
        _entry(rng, pieces)
        return
    i = rng.choice(tiles)
    number = rng.choice((0, 1, 2, 3, 4, 5, 7, 8, huge_or_tiny(rng, 4)))
    pieces[i] = Piece(replace(pieces[i].section, part=number), pieces[i].payload, pieces[i].streams)


def _share(rng: random.Random, pieces: list[Piece]) -> None:
    """A section says that its bytes are those of another, before it or not."""
    i, other = rng.randrange(len(pieces)), rng.choice(pieces).section
    section = replace(pieces[i].section, size=other.size, checksum=other.checksum, shared=True)
    pieces[i] = Piece(section, b"")


def _raw_size(rng: random.Random, pieces: list[Piece]) -> None:
    """The memory that decoding a section is said to take."""
    i = rng.randrange(len(pieces))
    size = pieces[i].section.raw_size + rng.choice((-1, 1, 64)) if rng.random() < 0.3 else huge_or_tiny(rng)
    pieces[i] = _with_payload(pieces[i], pieces[i].payload, size)


def _list(rng: random.Random, pieces: list[Piece]) -> None:
    """A section is missing, there twice, in another place, or many optional ones follow."""
    i = rng.randrange(len(pieces))
    what = rng.randrange(4)
    if what == 0:
        del pieces[i]
    elif what == 1:
        pieces.insert(rng.randrange(len(pieces) + 1), pieces[i])
    elif what == 2:
        rng.shuffle(pieces)
    else:
        section = replace(pieces[i].section, kind="MANY", required=False, size=0, grid=NO_GRID)
        shared = replace(section, size=pieces[i].section.size, checksum=pieces[i].section.checksum, shared=True)
        count = rng.choice((1, 1, *[100] * 10, 5000, 5000)) if rng.random() < 0.97 else 70_000
        pieces += [Piece(rng.choice((section, shared)), b"")] * count


def _border(rng: random.Random, pieces: list[Piece]) -> None:
    """Bytes move from a section to its neighbour."""
    if len(pieces) < 2:
        return
    i = rng.randrange(len(pieces) - 1)
    both = pieces[i].payload + pieces[i + 1].payload
    at = rng.randrange(len(both) + 1)
    pieces[i], pieces[i + 1] = _with_payload(pieces[i], both[:at]), _with_payload(pieces[i + 1], both[at:])


def _bomb(rng: random.Random) -> bytes:
    return _zeros_compressed(1 << rng.choice((10, 20, 20, 24, 26)))


@functools.cache
def _zeros_compressed(count: int) -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(count))


def _coded(raw: bytes, dtype: np.dtype = np.dtype(np.uint8)) -> bytes:
    out = FieldWriter()
    put_array(out, np.frombuffer(raw, dtype))
    return out.getvalue()


def _varint(value: int) -> bytes:
    out = FieldWriter()
    out.put_varint(value)
    return out.getvalue()


_MUTATIONS: tuple[Callable[[random.Random, list[Piece]], None], ...] = (
    *(_payload, _stream_head, _stream_head, _array, _array, _array, _array),
    *(_forged_blob, _zeros, _entry, _part_number, _share, _raw_size, _list, _border, _table, _table, _differences),
)
