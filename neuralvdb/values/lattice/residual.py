"""Residuals as symbols of 64 and raw bits. This is the definition.

A residual q, an integer number of steps, comes with a scale class c (network.py). Its low w(c) bits are raw, where the
distribution is flat; the rest, q >> w(c), is made unsigned (zigzag: 0, -1, 1, -2, ... -> 0, 1, 2, 3, ...) and is the
symbol. What is 63 or more, or has no frequency in its class, escapes as symbol 63: 5 raw bits say how many bits the
unsigned value plus one has, then those follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import zstandard

from neuralvdb.archive.rans import MAX_WIDTH, Decoder, Encoder, Tables, code_length
from neuralvdb.dataclass import dataclass
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.constants import (
    CLASS_OF_ONE_STEP,
    ESCAPE,
    MAX_RESIDUAL,
    POINTS_AT_A_TIME,
    SCALE_CLASSES,
    WIDTH_BITS,
)
from neuralvdb.values.lattice.levels import pieces

__all__ = ["ESCAPE", "MAX_RESIDUAL", "SymbolBuffer", "from_symbol", "price", "raw_width", "take", "to_symbol"]


_RAW_WIDTHS = np.maximum((np.arange(SCALE_CLASSES) - CLASS_OF_ONE_STEP) // 4 - 1, 0).astype(np.uint8)


def raw_width(scale_classes: np.ndarray) -> np.ndarray:
    """(n,) uint8: how many low bits of a residual of each class are raw."""
    widths: np.ndarray = _RAW_WIDTHS[scale_classes]
    return widths


def to_symbol(high: np.ndarray) -> np.ndarray:
    """Unsigned integers of signed ones (zigzag): 0, -1, 1, -2, ... -> 0, 1, 2, 3, ..."""
    return np.where(high < 0, -2 * high - 1, 2 * high)


def from_symbol(symbol: np.ndarray) -> np.ndarray:
    """Signed integers of unsigned ones, the inverse of to_symbol()."""
    return np.where(symbol & 1, -(symbol + 1) // 2, symbol // 2)


def escape_bits(symbol: np.ndarray) -> np.ndarray:
    """(n,) int64: raw bits of values that escape, beside those of the symbol ESCAPE."""
    return WIDTH_BITS + np.frexp(symbol + 1.0)[1].astype(np.int64)


def price(residuals: np.ndarray, scale_classes: np.ndarray, lengths: np.ndarray, coded: np.ndarray) -> np.ndarray:
    """Bits of residuals with their classes, arrays of one shape, raw ones included.

    lengths: (64, 64) float, bits of each symbol in each class; coded: (64, 64) bool, which symbols have a frequency.
    """
    width = raw_width(scale_classes)
    symbol = to_symbol(residuals >> width)
    small = np.minimum(symbol, ESCAPE)
    escapes = (small == ESCAPE) | ~coded[scale_classes, small]
    escaped = lengths[scale_classes, ESCAPE] + escape_bits(symbol)
    return np.where(escapes, escaped, lengths[scale_classes, small]) + width


_Arrays = tuple[np.ndarray, np.ndarray]  # residuals (n,) and their classes


@dataclass(frozen=True)
class _Packed:
    """Residuals and their classes (n,), in a quarter of the memory. types: of both arrays."""

    types: tuple[np.dtype, np.dtype]
    packed: tuple[bytes, bytes]

    @classmethod
    def of(cls, residuals: np.ndarray, scale_classes: np.ndarray) -> _Packed:
        first, second = (zstandard.ZstdCompressor(level=1).compress(array.data) for array in (residuals, scale_classes))
        fitting = (
            bytes(memoryview(first)),
            bytes(memoryview(second)),
        )  # theirs take as much memory as what is compressed
        return cls((residuals.dtype, scale_classes.dtype), fitting)

    def arrays(self) -> _Arrays:
        first, second = (
            np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), dtype)
            for packed, dtype in zip(self.packed, self.types, strict=True)
        )
        return first, second


class SymbolBuffer:
    """The residuals of a stream, kept until their tables are chosen.

    packs: whether they are kept packed, for streams of large grids.
    threads: that count them.
    """

    def __init__(self, packs: bool = False, threads: int = 1) -> None:
        self._counts = np.zeros((SCALE_CLASSES, ESCAPE + 1), np.int64)
        self._packs, self._threads = packs, threads
        self._new: list[_Arrays] = []  # not counted yet
        self._counted: list[_Arrays | _Packed] = []  # the same, in as few bytes as they need
        self._length, self._ends = 0, [0]

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """Adds residuals (n,) int32 or int64, within MAX_RESIDUAL, with their classes (n,) uint8, to the last batch.
        Nobody may change the arrays."""
        if len(residuals):
            self._new.append((residuals, scale_classes))
            self._length += len(residuals)
        if self._packs:
            self._count()

    def end(self) -> None:
        """Ends a batch."""
        if self._length > self._ends[-1]:
            self._ends.append(self._length)

    @property
    def counts(self) -> np.ndarray:
        """(64, 64) int64, of symbols by class."""
        self._count()
        return self._counts

    def _count(self) -> None:
        if not self._new:
            return
        counted = count_symbols(self._new, self._counts, self._threads)
        self._counted.append(_Packed.of(*counted) if self._packs else counted)
        self._new = []

    def _kept(self) -> list[_Arrays]:
        return [kept.arrays() if isinstance(kept, _Packed) else kept for kept in self._counted]

    def size(self, tables: Tables) -> int:
        """Bytes that the size of written() says."""
        counts, symbols = self.counts, np.arange(ESCAPE + 1)
        coded, escaped = _written_counts(counts, tables)
        bits = int((counts.sum(1) * raw_width(np.arange(SCALE_CLASSES))).sum())
        bits += int((escaped[:, :ESCAPE] * escape_bits(symbols[:ESCAPE])).sum())
        if escaped[:, ESCAPE].any():
            bits += sum(_bits_of_large(*arrays) for arrays in self._kept())
        return code_length(coded, tables.freq) + bits >> 3

    def written(self, tables: Tables, threads: int = 1) -> Encoder:
        """An encoder with all batches, the last of which has ended; they are forgotten."""
        self._count()
        out, ends = Encoder(tables), np.array(self._ends[1:])
        if len(ends):
            residuals, scale_classes = _joined(self._kept())
            split = split_residuals(residuals, scale_classes, ends, tables.freq > 0, threads=threads)
            out.put_batches(scale_classes, split.symbols, ends, _written_counts(self._counts, tables)[0])
            out.put_bits(split.values, split.widths)
        self._counts = np.zeros_like(self._counts)
        self._counted, self._length, self._ends = [], 0, [0]
        return out


def _written_counts(counts: np.ndarray, tables: Tables) -> _Arrays:
    """How often each symbol of each class, counts (64, 64) before any escapes, is written, and how often it escapes."""
    is_escaped = (tables.freq == 0) | (np.arange(ESCAPE + 1) == ESCAPE)
    coded, escaped = np.where(is_escaped, 0, counts), np.where(is_escaped, counts, 0)
    coded[:, ESCAPE] = escaped.sum(1)
    return coded, escaped


def _joined(arrays: Sequence[_Arrays]) -> _Arrays:
    """One pair of arrays."""
    if len(arrays) == 1:
        return arrays[0]
    residuals, scale_classes = zip(*arrays, strict=True)
    return np.concatenate(residuals), np.concatenate(scale_classes)


def _bits_of_large(residuals: np.ndarray, scale_classes: np.ndarray) -> int:
    """Raw bits of values that escape whatever the tables are, beside their low bits."""
    symbols = to_symbol(residuals.astype(np.int64) >> raw_width(scale_classes))
    return int(escape_bits(symbols[symbols >= ESCAPE]).sum())


def take(source: Decoder, scale_classes: np.ndarray) -> np.ndarray:
    """The residuals (n,) int32 of a batch of a SymbolBuffer. Raises DamagedFile."""
    symbols = source.take(scale_classes)
    residuals = np.empty(len(symbols), np.int32)
    for piece in pieces(len(symbols), POINTS_AT_A_TIME):
        residuals[piece] = source.take_bits(raw_width(scale_classes[piece]))
    rare = int(np.count_nonzero(symbols == ESCAPE))
    sizes = source.take_bits(np.full(rare, WIDTH_BITS, np.uint8)).astype(np.uint8)
    escaped = source.take_bits(np.minimum(sizes, MAX_WIDTH)).astype(np.int64) - 1
    join_residuals(symbols, scale_classes, escaped, residuals)
    return residuals


@dataclass(frozen=True)
class SplitResiduals:
    """Residuals as they are written. symbols: (n,) uint8; values: (m,) uint32, raw bits; widths: (m,) uint8."""

    symbols: np.ndarray
    values: np.ndarray
    widths: np.ndarray


def count_symbols(
    arrays: Sequence[_Arrays], counts: np.ndarray, threads: int = 1, implementation: str = "native"
) -> _Arrays:
    """Adds to counts (64, 64) int64 the symbols of residuals by class; gives all residuals, in as few bytes as they
    need, and their classes."""
    new = [(residuals.astype(np.int32, copy=False), scale_classes) for residuals, scale_classes in arrays]
    if implementation == "native":
        native: _Arrays = _lattice.count_symbols(new, counts, threads)
        return native
    residuals, scale_classes = _joined(new)
    symbols = np.minimum(to_symbol(residuals >> raw_width(scale_classes)), ESCAPE)
    pairs = scale_classes.astype(np.int64) * (ESCAPE + 1) + symbols
    counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    ends = int(residuals.min(initial=0)), int(residuals.max(initial=0))
    return residuals.astype(np.min_scalar_type(min(ends[0], -1 - ends[1]))), scale_classes


def split_residuals(
    residuals: np.ndarray,
    scale_classes: np.ndarray,
    ends: np.ndarray,
    coded: np.ndarray,
    implementation: str = "native",
    threads: int = 1,
) -> SplitResiduals:
    """Residuals (n,) of batches that end at `ends` (B,) int64 as they are written: of each batch all symbols, all
    low bits, all sizes of escaped values, all escaped values plus one. coded: (64, 64) bool, which symbols have a
    frequency."""
    if implementation == "native":
        new = np.empty(len(residuals), np.uint8)
        values, widths = _lattice.split_residuals(residuals, scale_classes, ends, coded.view(np.uint8), new, threads)
        return SplitResiduals(new, values, widths)
    width = raw_width(scale_classes)
    whole = to_symbol(residuals.astype(np.int64) >> width)
    symbols = np.minimum(whole, ESCAPE)
    symbols = np.where(coded[scale_classes, symbols], symbols, ESCAPE).astype(np.uint8)
    bits = residuals.astype(np.int32) & ((1 << width.astype(np.int32)) - 1)
    pairs = [(np.zeros(0, np.int64), np.zeros(0, np.uint8))]
    for batch in (slice(*edges) for edges in itertools.pairwise([0, *ends])):
        low, escaped = width[batch] > 0, whole[batch][symbols[batch] == ESCAPE] + 1
        sizes = np.frexp(escaped.astype(np.float64))[1].astype(np.uint8)
        pairs += [(bits[batch][low], width[batch][low]), (sizes, np.full_like(sizes, WIDTH_BITS)), (escaped, sizes)]
    values, widths = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return SplitResiduals(symbols, values.astype(np.uint32), widths)


def join_residuals(
    symbols: np.ndarray,
    scale_classes: np.ndarray,
    escaped: np.ndarray,
    residuals: np.ndarray,
    implementation: str = "native",
) -> None:
    """Makes residuals (n,) int32 of their low bits, which `residuals` holds, of symbols (n,) uint8 and of unsigned
    values (e,) int64 that escaped."""
    if implementation == "native":
        _lattice.join_residuals(symbols, scale_classes, escaped, residuals)
        return
    whole = symbols.astype(np.int64)
    whole[symbols == ESCAPE] = escaped
    residuals += (from_symbol(whole) << raw_width(scale_classes)).astype(np.int32)
