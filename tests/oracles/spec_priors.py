"""Priors and refinements as SPEC.md has them, number by number. For spec_reader.py."""

from __future__ import annotations

import numpy as np
import xxhash
from spec_blocks import Cursor, require
from spec_rans import Rans

MEAN_FAMILY = 3
PLACES = [(phase, level, axis) for phase in (0, 1) for level in range(3) for axis in range(3)]


class Priors:
    """A PRIO section: `tables` of all families, `networks[family][phase, level, axis]`, and the priors' `name`."""

    def __init__(self, payload: bytes, raw_size: int) -> None:
        source = Cursor(payload)
        held, digests = source.u8(), source.bytes()
        require(held < 16 and len(digests) == 32, "families")
        tables = source.stream("<u2", 16384)
        self.tables = tables.reshape(256, 64).tolist()
        require(all(sum(frequencies) == 4096 for frequencies in self.tables), "frequencies")
        self.name = xxhash.xxh3_64_digest(digests + tables.tobytes())
        self.networks: dict[int, dict] = {}
        size = tables.nbytes
        for family in range(4):
            if not held & 1 << family:
                continue
            everything = tables[4096 * family : 4096 * (family + 1)].tobytes()
            self.networks[family] = {}
            for phase in (0, 1):
                arrays = [source.stream(kind, 9 * number) for kind, number in layout(family, phase)]
                everything += b"".join(array.tobytes() for array in arrays)
                size += sum(array.nbytes for array in arrays)
                for index in range(9):
                    network = [array.reshape(9, -1)[index].tolist() for array in arrays]
                    self.networks[family][phase, index // 3, index % 3] = network
            require(xxhash.xxh3_64_digest(everything) == digests[8 * family : 8 * family + 8], "digest of a family")
        source.end()
        require(size == raw_size, "size of the priors in memory")


def layout(family: int, phase: int) -> list[tuple[str, int]]:
    """Element types and counts of the arrays of a network."""
    i = ((75, 87), (94, 106))[family == MEAN_FAMILY][phase]
    counts = (48 * i, 48, 32 * 48, 32, 2 * 32, 2, 2 * i, 6)
    return [("<i4" if number in (1, 3, 5) else "i1", count) for number, count in enumerate(counts)]


def fine_tuned(cursor: Cursor, family: int, priors: Priors) -> dict:
    """The networks of a family, changed by the refinement at the cursor."""
    head = cursor.stream("u1", 90).reshape(18, 5).tolist()
    coder = Rans(cursor.bytes(), priors.tables[64 * family : 64 * (family + 1)])
    bits, networks = RawBits(coder.raw), {}
    for key, (donor, *codes) in zip(PLACES, head, strict=True):
        number = (family + donor) % 256
        if 128 <= number < 192:
            shapes = [count for _, count in layout(family, key[0])]
            network = [[0] * count for count in shapes]
            network[5] = [0, -4 * (number - 128)]
        else:
            network = priors.networks[number][key]
        w1, b1, w2, b2, w3, b3, line, shifts = [list(p) for p in network]
        half = len(line) // 2
        groups = [
            [(w1, range(len(w1)), 1), (b1, range(48), 16)],
            [(w2, range(len(w2)), 1), (b2, range(32), 16)],
            [(w3, range(32), 1), (b3, range(1), 16), (line, range(half), 1)],
            [(w3, range(32, 64), 1), (b3, range(1, 2), 16), (line, range(half, 2 * half), 1)],
        ]
        for code, group in zip(codes, groups, strict=True):
            if code:
                numbers = [(array, n, unit) for array, indices, unit in group for n in indices]
                steps = residuals(coder, bits, code % 64, len(numbers))
                for (array, n, unit), step in zip(numbers, steps, strict=True):
                    array[n] += step * unit * 4 ** (code // 64)
        require(all(abs(w) <= 127 for weights in (w1, w2, w3, line) for w in weights), "a weight")
        require(all(abs(b) <= 1 << 23 for weights in (b1, b2, b3) for b in weights), "a bias")
        networks[key] = [w1, b1, w2, b2, w3, b3, line, shifts]
    coder.raw = b""  # taken below, not by the symbols
    bits.end()
    coder.end()
    return networks


def residuals(coder: Rans, bits: RawBits, code: int, count: int) -> list[int]:
    """A batch of residuals of one class."""
    symbols, width = coder.batch([code] * count), max(0, (code - 16) // 4 - 1)
    low = [bits.take(width) for _ in symbols]
    sizes = [bits.take(5) for symbol in symbols if symbol == 63]
    escaped = iter([bits.take(size) - 1 for size in sizes])
    zigzagged = [next(escaped) if symbol == 63 else symbol for symbol in symbols]
    high = [-(f + 1) // 2 if f % 2 else f // 2 for f in zigzagged]
    return [(h << width) + low_bits for h, low_bits in zip(high, low, strict=True)]


class RawBits:
    """Takes raw values, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self.left, self.size = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, width: int) -> int:
        require(width <= self.size, "raw bits are missing")
        value = self.left % (1 << width)
        self.left, self.size = self.left >> width, self.size - width
        return value

    def end(self) -> None:
        require(self.size < 8 and self.left == 0, "raw bits are left over")


def flat(network: list[list[int]]) -> np.ndarray:
    """All numbers of a network."""
    return np.concatenate([np.array(array, np.int64) for array in network])
