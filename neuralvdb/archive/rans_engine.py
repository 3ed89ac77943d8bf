"""The inner loops of rans.py: their definition in Python, and their fast twin native/rans.h."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from neuralvdb.dataclass import dataclass

PROB_BITS = 12
TOTAL = 1 << PROB_BITS
LOW = 1 << 16


@dataclass(frozen=True)
class Batches:
    """Symbols to be coded. classes, symbols: (n,) uint8; ends: (B,) int64, where each batch ends."""

    classes: np.ndarray
    symbols: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Coded:
    """Coded symbols. states: (S, L) uint32; sizes: (S,) int64, words of each segment; words: of all, as bytes."""

    states: np.ndarray
    sizes: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class Source:
    """Where decoding stands: arrays that it changes, but for words and ends.

    states: (S, L) uint32.
    words: of all segments, as bytes, padded.
    at: (S,) int64, the next word of each segment; beyond its end where words run out.
    ends: (S,) int64, where each segment's words end.
    taken: (S,) int64, symbols of each segment so far.
    """

    states: np.ndarray
    words: np.ndarray
    at: np.ndarray
    ends: np.ndarray
    taken: np.ndarray


@dataclass(frozen=True)
class Lookup:
    """What the symbols of K classes are decoded with.

    symbols: (K, 4096) uint8, by the low 12 bits of a state.
    codes: (K, A) uint32, of each symbol: frequency - 1, start << 12.
    """

    symbols: np.ndarray
    codes: np.ndarray


class Engine(Protocol):
    """An implementation of the inner loops; what they do is said at Reference."""

    def count(self, classes: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> None:
        """As Reference.count()."""

    def encode(self, freq: np.ndarray, batches: Batches, segments: int, lanes: int, threads: int) -> Coded:
        """As Reference.encode()."""

    def decode(self, lookup: Lookup, classes: np.ndarray, source: Source, out: np.ndarray, threads: int) -> None:
        """As Reference.decode()."""

    def pack_bits(self, values: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """As Reference.pack_bits()."""

    def unpack_bits(self, data: np.ndarray, at: int, widths: np.ndarray, out: np.ndarray) -> None:
        """As Reference.unpack_bits()."""


def engine_of(implementation: str) -> Engine:
    """An implementation, "native" or "reference". Raises ValueError for any other name."""
    if implementation not in ("native", "reference"):
        raise ValueError(f"implementation {implementation!r} does not exist; native and reference do")
    return Reference() if implementation == "reference" else Native()


class Native:
    """The fast twin, in C++."""

    def __init__(self) -> None:
        from neuralvdb.archive import _rans

        self.count, self.pack_bits, self.unpack_bits = _rans.count, _rans.pack_bits, _rans.unpack_bits
        self._encode, self._decode = _rans.encode, _rans.decode

    def encode(self, freq: np.ndarray, batches: Batches, segments: int, lanes: int, threads: int) -> Coded:
        """As Reference.encode()."""
        classes, symbols, ends = batches.classes, batches.symbols, batches.ends
        return Coded(*self._encode(freq, classes, symbols, ends, segments, lanes, threads))

    def decode(self, lookup: Lookup, classes: np.ndarray, source: Source, out: np.ndarray, threads: int) -> None:
        """As Reference.decode()."""
        states, words, at, ends, taken = source.states, source.words, source.at, source.ends, source.taken
        self._decode(lookup.symbols, lookup.codes, classes, states, words, at, ends, taken, out, threads)


class Reference:
    """The definition: one symbol after the other, with Python's integers. Same functions as native/rans.h."""

    @staticmethod
    def count(classes: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> None:
        """Adds to counts (K, A) int64 how often each class and symbol occur together."""
        np.add.at(counts, (classes, symbols), 1)

    @staticmethod
    def encode(freq: np.ndarray, batches: Batches, segments: int, lanes: int, threads: int) -> Coded:
        """The symbols of all batches in so many segments and lanes; freq: (K, A) uint16."""
        start = np.cumsum(freq, axis=1) - freq
        states = np.full((segments, lanes), LOW, np.uint32)
        words: list[list[int]] = [[] for _ in range(segments)]
        pieces = np.split(np.arange(len(batches.symbols)), batches.ends[:-1])
        for g in range(segments):
            order = np.concatenate([b[g * len(b) // segments : (g + 1) * len(b) // segments] for b in pieces])
            for j in reversed(range(len(order))):
                symbol = batches.classes[order[j]], batches.symbols[order[j]]
                f, c, x = int(freq[symbol]), int(start[symbol]), int(states[g, j % lanes])
                if x >= f << 20:
                    words[g].append(x & 0xFFFF)
                    x >>= 16
                states[g, j % lanes] = x // f * TOTAL + c + x % f
        text = np.array([word for segment in words for word in reversed(segment)], "<u2")
        return Coded(states, np.array([len(segment) for segment in words], np.int64), text.view(np.uint8))

    @staticmethod
    def decode(lookup: Lookup, classes: np.ndarray, source: Source, out: np.ndarray, threads: int) -> None:
        """Fills out (n,) with symbols of classes (n,) and moves `source` on."""
        states, words, at, ends, taken = source.states, source.words, source.at, source.ends, source.taken
        segments, lanes = states.shape
        for g in range(segments):
            for i in range(g * len(out) // segments, (g + 1) * len(out) // segments):
                lane = taken[g] % lanes
                x = int(states[g, lane])
                out[i] = symbol = lookup.symbols[classes[i], x % TOTAL]
                code = int(lookup.codes[classes[i], symbol])
                x = (code % TOTAL + 1) * (x // TOTAL) + x % TOTAL - code // TOTAL
                taken[g] += 1
                if x < LOW:
                    if at[g] >= ends[g]:
                        at[g] = ends[g] + 1
                        break
                    x = x << 16 | int(words[2 * at[g]]) | int(words[2 * at[g] + 1]) << 8
                    at[g] += 1
                states[g, lane] = x

    @staticmethod
    def pack_bits(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """The low widths[i] bits of values[i], one after the other, lowest bit first, in bytes (uint8)."""
        bits = [int(value) >> k & 1 for value, width in zip(values, widths, strict=True) for k in range(width)]
        return np.packbits(np.array(bits, np.uint8), bitorder="little")

    @staticmethod
    def unpack_bits(data: np.ndarray, at: int, widths: np.ndarray, out: np.ndarray) -> None:
        """Fills out (n,) from the bits that begin at bit `at` of data."""
        bits = np.unpackbits(data, bitorder="little").tolist()
        for i, width in enumerate(widths.tolist()):
            out[i] = sum(bits[at + k] << k for k in range(width))
            at += width
