"""Vectors of blocks of 16x16x16 voxels, between whose middles displacements change evenly. The bytes are drawn in
REFERENCES.md; motion/native/blocks.h is the twin of displacement()."""

from __future__ import annotations

import math

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.dataclass import dataclass

EDGE_LOG2 = 4  # of blocks, in voxels
PARTS_LOG2 = 3  # of a voxel, which vectors are in
MOST = 8 << PARTS_LOG2  # by which anything moves along an axis
MOST_BLOCKS = 1 << 18
_HALVES_LOG2 = EDGE_LOG2 + 1  # of voxels in a block's edge: middles of voxels and of blocks lie on them
_HALVES = 1 << _HALVES_LOG2
_ROUNDED = 3 * _HALVES_LOG2 + PARTS_LOG2 - 8  # bits by which sums are shifted to become positions, in 1/256 voxel
_FARTHEST = 1 << 28  # block
_MOST_REMAINDER = 7  # bits


@dataclass(frozen=True)
class Blocks:
    """Vectors of blocks that fill a box.

    low: the lowest block; block b begins at voxel 16 b. size: of the box, in blocks along each axis.
    vectors: int8 (size, 3) in C order, in 1/8 voxel: how far what is in the middle of a block has come.
    """

    low: tuple[int, int, int]
    size: tuple[int, int, int]
    vectors: bytes

    @property
    def array(self) -> np.ndarray:
        """The vectors, (X, Y, Z, 3) int8."""
        return np.frombuffer(self.vectors, np.int8).reshape(*self.size, 3)

    def valid(self) -> bool:
        """Whether the numbers are possible, as those of a damaged archive may not be."""
        near = all(-_FARTHEST <= low <= _FARTHEST for low in self.low)
        return near and bool((np.abs(self.array.astype(np.int64)) <= MOST).all())


def neighbours(blocks: Blocks, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The blocks whose middles lie on both sides of voxels (n, 3) int64 along each axis, or the nearest ones: first and
    second (n, 3) int64 in the box, and the weight of the second, out of 32."""
    at = 2 * voxels + 1 - _HALVES // 2 - np.array(blocks.low, np.int64) * _HALVES
    first, last = at >> _HALVES_LOG2, np.array(blocks.size) - 1
    return first.clip(0, last), (first + 1).clip(0, last), at & _HALVES - 1


def displacement(blocks: Blocks, voxels: np.ndarray) -> np.ndarray:
    """How far what is in voxels (n, 3) int64 has come: (n, 3) int64, in 1/256 voxel."""
    first, second, weight = neighbours(blocks, voxels)
    vectors, total = blocks.array.astype(np.int64), np.zeros_like(voxels)
    for corner in np.ndindex(2, 2, 2):
        block = np.where(corner, second, first)
        weights = np.where(corner, weight, _HALVES - weight).prod(axis=1)
        total += weights[:, None] * vectors[tuple(block.T)]
    return rounded(total)


def rounded(sums: np.ndarray) -> np.ndarray:
    """Displacements in 1/256 voxel of sums of vectors by their weights."""
    return (sums + (1 << _ROUNDED - 1)) >> _ROUNDED


def put_blocks(out: FieldWriter, blocks: Blocks) -> None:
    """Appends blocks."""
    residuals = _differences(blocks.array.astype(np.int64)).ravel()
    symbols = np.where(residuals < 0, -1 - 2 * residuals, 2 * residuals)
    sizes = [int((symbols >> bits).sum()) + bits * len(symbols) for bits in range(_MOST_REMAINDER + 1)]
    bits = int(np.argmin(sizes))
    for low, size in zip(blocks.low, blocks.size, strict=True):
        out.put_varint(-1 - 2 * low if low < 0 else 2 * low)
        out.put_varint(size)
    out.put("u8", bits)
    ends = np.cumsum((symbols >> bits) + 1 + bits)
    stored = np.zeros(int(ends[-1]), np.uint8)
    stored[ends - 1 - bits] = 1
    for bit in range(bits):
        stored[ends - bits + bit] = symbols >> bit & 1
    out.put_bytes(np.packbits(stored, bitorder="little").tobytes())


def take_blocks(source: FieldReader) -> Blocks:
    """The blocks that put_blocks() put; they may not be valid(). Raises DamagedFile."""
    low, size = [0, 0, 0], [0, 0, 0]
    for axis in range(3):
        symbol = source.take_varint()
        low[axis] = -1 - symbol // 2 if symbol & 1 else symbol // 2
        size[axis] = source.take_varint()
    bits, stored = source.take("u8"), source.take_bytes()
    count = 3 * math.prod(size)
    if not 0 < count <= 3 * MOST_BLOCKS or bits > _MOST_REMAINDER or count * (1 + bits) > 8 * len(stored):
        raise source.damaged("blocks have no vectors, or too many")
    digits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
    symbols = _take_symbols(source, digits, count, bits)
    residuals = np.where(symbols & 1, -1 - (symbols >> 1), symbols >> 1).reshape(*size, 3)
    vectors = _sums(residuals).clip(-128, 127).astype(np.int8)
    return Blocks((low[0], low[1], low[2]), (size[0], size[1], size[2]), vectors.tobytes())


def _take_symbols(source: FieldReader, digits: np.ndarray, count: int, bits: int) -> np.ndarray:
    """So many symbols (count,) int64: zeros, a one, then bits of the remainder, lowest first."""
    text, at, begins = digits.tobytes(), 0, np.zeros(count, np.int64)
    for number in range(count):
        at = text.find(b"\1", at) + 1
        if at == 0 or at + bits > len(text):
            raise source.damaged("vectors of blocks end too early")
        begins[number] = at
        at += bits
    zeros = np.diff(begins, prepend=-bits) - 1 - bits
    symbols = zeros << bits
    for bit in range(bits):
        symbols |= digits[begins + bit].astype(np.int64) << bit
    return symbols


def _differences(vectors: np.ndarray) -> np.ndarray:
    """What vectors (X, Y, Z, 3) differ by from that before them: along z, at the first one along y, at the first row
    along x."""
    out = np.diff(vectors, axis=2, prepend=0)
    out[:, :, 0] = np.diff(vectors[:, :, 0], axis=1, prepend=0)
    out[:, 0, 0] = np.diff(vectors[:, 0, 0], axis=0, prepend=0)
    return out


def _sums(differences: np.ndarray) -> np.ndarray:
    """The vectors that _differences() is of."""
    vectors = differences.copy()
    vectors[:, 0, 0] = np.cumsum(vectors[:, 0, 0], axis=0)
    vectors[:, :, 0] = np.cumsum(vectors[:, :, 0], axis=1)
    return np.cumsum(vectors, axis=2)
