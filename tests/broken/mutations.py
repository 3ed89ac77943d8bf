"""Damage to bytes: what disks, networks and people do to files. All of it follows from a `random.Random`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Hot = Sequence[tuple[int, int]]  # ranges of bytes where lengths and counts stand

_LENGTHS = (0, 1, 2, 255, 4096, 0x7FFF, 0xFFFF, 1 << 20, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 40)
_WIDE = (1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def huge_or_tiny(rng: random.Random, width: int = 8) -> int:
    """A number that a careless reader would take for a length, in `width` bytes."""
    value = rng.choice(_LENGTHS + _WIDE) if rng.random() < 0.8 else rng.getrandbits(8 * width)
    return (value + rng.choice((-1, 0, 0, 1))) % (1 << 8 * width)


def position(rng: random.Random, data: bytes, hot: Hot) -> int:
    """A position in `data`, half of the time inside a hot range."""
    if hot and rng.random() < 0.5:
        begin, end = rng.choice(hot)
        return max(0, min(rng.randrange(begin, max(begin + 1, end)), len(data) - 1))
    return rng.randrange(len(data))


def flip_bits(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """1 to 64 bits the other way round."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        out[position(rng, data, hot)] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """Up to 64 bytes in a row are noise, zero or all ones."""
    at = position(rng, data, hot)
    count = min(rng.randint(1, 64), len(data) - at)
    fill = rng.choice((rng.randbytes(count), b"\0" * count, b"\xff" * count))
    return data[:at] + fill + data[at + count :]


def replace_length(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """1 to 3 numbers of 4 or 8 bytes become 0, 1, the largest there is or something absurd."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        width = rng.choice((1, 4, 4, 8))
        at = position(rng, data, hot)
        data = data[:at] + huge_or_tiny(rng, width).to_bytes(width, "little") + data[at + width :]
    return data


def truncate(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """Some bytes at the end are missing."""
    return data[: -rng.randint(1, min(16, len(data)))] if rng.random() < 0.2 else data[: position(rng, data, hot)]


def delete(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """A piece from the middle is missing."""
    at, count = _slice(rng, data, hot)
    return data[:at] + data[at + count :]


def duplicate(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """A piece stands there twice."""
    at, count = _slice(rng, data, hot)
    return data[: at + count] + data[at:]


def splice(rng: random.Random, data: bytes, hot: Hot) -> bytes:
    """A piece replaces another one of its length, or is put in between."""
    source, count = _slice(rng, data, hot)
    at = position(rng, data, hot)
    piece = data[source : source + count]
    return data[:at] + piece + data[at + (count if rng.random() < 0.7 else 0) :]


def append(rng: random.Random, data: bytes, _: Hot) -> bytes:
    """Something follows the end."""
    return data + rng.randbytes(rng.randint(1, 100))


MUTATIONS: tuple[Callable[[random.Random, bytes, Hot], bytes], ...] = (
    flip_bits,
    flip_bits,
    overwrite,
    replace_length,
    replace_length,
    truncate,
    delete,
    duplicate,
    splice,
    append,
)


def damage(rng: random.Random, data: bytes, hot: Hot = ()) -> tuple[str, bytes]:
    """Name and result of one kind of damage, never `data` itself."""
    while True:
        mutation = rng.choice(MUTATIONS)
        damaged = mutation(rng, data, hot) if data else rng.randbytes(rng.randint(1, 64))
        if damaged != data:
            return mutation.__name__, damaged


def _slice(rng: random.Random, data: bytes, hot: Hot) -> tuple[int, int]:
    at = position(rng, data, hot)
    return at, min(rng.choice((1, 4, 8, rng.randint(1, 64), rng.randint(1, 4096))), len(data) - at)
