"""rANS: symbols to bytes and back, at the cost that their probabilities allow.

Letters: K classes, A symbols of the alphabet, S segments, L lanes, n symbols of a batch. A class selects the table of
frequencies, out of 4096, that a symbol is coded with. A batch is cut into S contiguous pieces, one per segment; a
segment is the sequence of its pieces of all batches, has words of its own and decodes without the others. Symbol j of
a segment belongs to lane j mod L; all lanes take their words from the same sequence, in the order of the symbols.

A state x is an integer in [2^16, 2^32). With f the frequency of a symbol and c the sum of those before it, encoding is

    x -> (x div f) * 4096 + c + x mod f       after moving the low 16 bits to the words if x >= f * 2^20,

decoding is the exact inverse, in the opposite order: the encoder therefore walks backwards. It begins with all states
at 2^16, where the decoder must end. SPEC.md has the bytes. Sources: Duda, "Asymmetric numeral systems" (2013); Giesen,
"Interleaved entropy coders" (2014). `implementation="reference"` is the definition, here in plain Python; "native"
(native/rans.h) gives the same bytes.
"""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np

from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.rans_engine import LOW, PROB_BITS, TOTAL, Batches, Lookup, Source, engine_of
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile

MAX_CLASSES = MAX_SYMBOLS = 64
MAX_LANES, MAX_SEGMENTS = 32, 4096
MAX_WIDTH = 24  # bits
_SEGMENT = 1 << 15  # bytes that repay the 132 of one more segment
_PADDING = 128  # bytes that the native decoder may read, not use, beyond the last word; 4 beyond the raw bits


class Tables:
    """The frequencies (K, A) uint16 of each class; every row sums to 4096. Raises ValueError if they do not."""

    def __init__(self, freq: np.ndarray) -> None:
        self.freq = np.array(freq, np.int64)
        if self.freq.ndim != 2 or not (0 < len(self.freq) <= MAX_CLASSES and 0 < self.freq.shape[1] <= MAX_SYMBOLS):
            raise ValueError(f"frequencies of shape {self.freq.shape}; 1 to 64 classes of 1 to 64 symbols are possible")
        if (self.freq != np.clip(self.freq, 0, TOTAL)).any() or (self.freq.sum(1) != TOTAL).any():
            raise ValueError(f"the frequencies of a class are negative or do not sum to {TOTAL}")
        self.freq = self.freq.astype(np.uint16)

    @cached_property
    def start(self) -> np.ndarray:
        """Sum of the frequencies before each symbol, (K, A) uint16."""
        return (np.cumsum(self.freq, axis=1) - self.freq).astype(np.uint16)

    @cached_property
    def codes(self) -> np.ndarray:
        """What coding a symbol needs, (K, A) uint32: frequency - 1, start << 12; means nothing where that is 0."""
        codes: np.ndarray = np.maximum(self.freq, 1).astype(np.uint32) - 1 | self.start.astype(np.uint32) << PROB_BITS
        return codes

    @cached_property
    def lookup(self) -> Lookup:
        """What decoding a symbol needs."""
        classes, alphabet = self.freq.shape
        symbols = np.tile(np.arange(alphabet, dtype=np.uint8), classes).repeat(self.freq.ravel())
        return Lookup(symbols.reshape(classes, TOTAL), self.codes)

    @cached_property
    def slots(self) -> np.ndarray:
        """The same for GPUs, by the low 12 bits of a state, (K, 4096) uint32: symbol, frequency - 1 << 8, slot - start
        << 20."""
        classes, symbols = self.freq.shape
        freq, start = self.freq.astype(np.uint32), self.start.astype(np.uint32)
        of_symbols = np.arange(symbols, dtype=np.uint32) | freq - 1 << 8
        slots: np.ndarray = np.repeat((of_symbols - (start << 20)).ravel(), self.freq.ravel()).reshape(classes, TOTAL)
        slots += np.arange(TOTAL, dtype=np.uint32) << 20
        return slots


def normalise(counts: np.ndarray) -> np.ndarray:
    """Frequencies (K, A) uint16 proportional to counts (K, A) int64 under 2^44: at least 1 where a count is not 0.

    Rounded as seats are by Webster's method, whose quotients are the first-order change of the code length; where no
    count is there, all symbols share. Raises ValueError on negative or too large counts and on more than 64 symbols.
    """
    counts = np.array(counts, np.int64)
    if counts.ndim != 2 or counts.shape[1] > MAX_SYMBOLS or counts.min() < 0 or counts.max() >= 1 << 44:
        raise ValueError("counts are (classes, up to 64 symbols), from 0 to 2^44")
    counts[counts.sum(1) == 0] = 1
    freq = np.maximum(counts * TOTAL // counts.sum(1, keepdims=True), counts > 0)
    rows = np.arange(len(freq))
    while (missing := TOTAL - freq.sum(1)).any():
        most = np.argmax(counts / (2 * freq + 1), axis=1)  # IEEE division: the same everywhere
        least = np.argmin(np.where(freq > 1, counts / (2 * freq - 1), np.inf), axis=1)
        freq[rows, np.where(missing > 0, most, least)] += np.sign(missing)
    normalised: np.ndarray = freq.astype(np.uint16)
    return normalised


class Encoder:
    """Collects batches of symbols and of raw bits; finish() makes them bytes."""

    def __init__(self, tables: Tables, implementation: str = "native") -> None:
        self._tables, self._engine = tables, engine_of(implementation)
        self._classes: list[np.ndarray] = []
        self._symbols: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._widths: list[np.ndarray] = []
        self._counts = np.zeros(tables.freq.shape, np.int64)

    def put(self, classes: np.ndarray, symbols: np.ndarray) -> None:
        """Appends a batch: classes and symbols (n,) uint8. Raises ValueError where a frequency is 0 or missing."""
        table_count, alphabet = self._tables.freq.shape
        classes, symbols = _checked(classes, np.uint8, table_count - 1), _checked(symbols, np.uint8, alphabet - 1)
        if len(classes) != len(symbols):
            raise ValueError(f"{len(classes)} classes for {len(symbols)} symbols")
        counts = np.zeros_like(self._counts)
        self._engine.count(classes, symbols, counts)
        self._count(counts)
        self._classes.append(classes.copy())
        self._symbols.append(symbols.copy())

    def _count(self, counts: np.ndarray) -> None:
        if (impossible := (counts > 0) & (self._tables.freq == 0)).any():
            raise ValueError("class {} has symbol {}, whose frequency is 0".format(*np.argwhere(impossible)[0]))
        self._counts += counts

    def put_batches(
        self, classes: np.ndarray, symbols: np.ndarray, ends: np.ndarray, counts: np.ndarray | None = None
    ) -> None:
        """Appends batches that end at `ends` (B,) int64 of classes and symbols (n,) uint8. Raises what put() does.

        counts: (K, A) how often each occurs, where that is known; then nobody may change the arrays.
        """
        if counts is None:
            self.put(classes, symbols)
            classes, symbols = self._classes.pop(), self._symbols.pop()
        else:
            self._count(counts)
        begin = 0
        for end in ends.tolist():
            self._classes.append(classes[begin:end])
            self._symbols.append(symbols[begin:end])
            begin = end

    def put_bits(self, values: np.ndarray, widths: np.ndarray) -> None:
        """Appends values (n,) uint32 in widths (n,) uint8 of 0 to 24 bits. Raises ValueError where one has more."""
        values, widths = _checked(values, np.uint32, (1 << MAX_WIDTH) - 1), _checked(widths, np.uint8, MAX_WIDTH)
        if len(values) != len(widths) or (values >> widths).any():
            raise ValueError("each value needs a width that holds it")
        self._values.append(values.copy())
        self._widths.append(widths.copy())

    def extend(self, other: Encoder) -> None:
        """Appends the batches of an encoder with the same tables."""
        self._counts += other._counts
        for name in ("_classes", "_symbols", "_values", "_widths"):
            getattr(self, name).extend(getattr(other, name))

    @property
    def size(self) -> int:
        """Bytes that all batches will take, states and sizes aside."""
        bits = sum(int(widths.sum(dtype=np.int64)) for widths in self._widths)
        return code_length(self._counts, self._tables.freq) + bits >> 3

    def finish(self, threads: int = 1) -> bytes:
        """All batches as bytes, the same for every number of threads."""
        segments, lanes = layout(int(self._counts.sum()), code_length(self._counts, self._tables.freq))
        bits = self._engine.pack_bits(_joined(self._values, np.uint32), _joined(self._widths, np.uint8)).tobytes()
        if not segments:
            return payload(bits, np.zeros((0, lanes), np.uint32), [], b"")
        ends = np.cumsum([len(batch) for batch in self._classes], dtype=np.int64)
        batches = Batches(_joined(self._classes, np.uint8), _joined(self._symbols, np.uint8), ends)
        coded = self._engine.encode(self._tables.freq, batches, segments, lanes, threads)
        return payload(bits, coded.states, coded.sizes.tolist(), coded.words.tobytes())


def payload(bits: bytes, states: np.ndarray, sizes: list[int], words: bytes) -> bytes:
    """What a Decoder takes: raw bits, states (S, L) uint32, how many words each segment has, and all words."""
    out = FieldWriter()
    segments, lanes = states.shape
    out.put_varint(8 * segments + lanes.bit_length() - 1)
    out.put_bytes(bits)
    if segments:
        for size in sizes[:-1]:
            out.put_varint(size)
        out.put_bytes(states.astype("<u4").tobytes() + words)
    return out.getvalue()


@dataclass(frozen=True)
class Layout:
    """What is left of a payload. states: (S, L) uint32; words: (W,) uint16; at, ends: (S,) int64, where each segment's
    words begin and end; taken: (S,) int64, symbols; bits: (M,) uint8, all of them."""

    states: np.ndarray
    words: np.ndarray
    at: np.ndarray
    ends: np.ndarray
    taken: np.ndarray
    bits: np.ndarray


class Decoder:
    """Takes the batches that an Encoder put, in that order. Raises DamagedFile, naming `where`, on a broken layout."""

    def __init__(
        self, data: bytes | memoryview, tables: Tables, where: str, threads: int = 1, implementation: str = "native"
    ) -> None:
        self._tables, self._where, self._threads, self._engine = tables, where, threads, engine_of(implementation)
        source = FieldReader(data, where)
        header = source.take_varint()
        segments, lanes = header >> 3, 1 << (header & 7)
        if lanes > MAX_LANES or segments > MAX_SEGMENTS or (segments == 0 and lanes > 1):
            raise source.damaged(f"{segments} segments of {lanes} lanes are declared")
        bits = source.take_bytes()
        self._bits, self._bit, self._bit_end = _padded(bits), 0, 8 * len(bits)
        sizes = [source.take_varint() for _ in range(segments - 1)]
        body = source.take_bytes() if segments else memoryview(b"")
        source.finish()
        words, remainder = divmod(len(body) - 4 * segments * lanes, 2)
        if words < sum(sizes) or remainder:
            raise source.damaged(f"{len(body)} bytes do not hold {segments * lanes} states and their words")
        self._states = np.frombuffer(body, "<u4", segments * lanes).astype(np.uint32).reshape(segments, lanes)
        if (self._states < LOW).any():
            raise source.damaged("a state is too small")
        self._words = _padded(body[4 * segments * lanes :])
        self._ends = np.cumsum([*sizes, words - sum(sizes)], dtype=np.int64)[:segments]
        self._at = np.array([0, *self._ends[:-1]], np.int64)[:segments]
        self._taken = np.zeros(segments, np.int64)

    def take(self, classes: np.ndarray) -> np.ndarray:
        """The symbols (n,) uint8 of the next batch, given its classes (n,) uint8.

        Raises DamagedFile where the words run out, ValueError on a class without a table.
        """
        classes = _checked(classes, np.uint8, len(self._tables.freq) - 1)
        symbols = np.zeros(len(classes), np.uint8)
        self.check(0 if len(self._states) else len(classes))
        self._engine.decode(self._tables.lookup, classes, self.source, symbols, self._threads)
        self.check(0)
        return symbols

    @property
    def source(self) -> Source:
        """Where decoding stands, for those who move it on themselves and then check()."""
        return Source(self._states, self._words, self._at, self._ends, self._taken)

    def check(self, missing: int) -> None:
        """Raises DamagedFile where words have run out, or so many symbols are missing that no segment has."""
        self._require(missing=missing, dry=self._at > self._ends)

    def take_bits(self, widths: np.ndarray) -> np.ndarray:
        """The next raw values (n,) uint32 of widths (n,) uint8. Raises DamagedFile at their end, ValueError over 24."""
        widths = _checked(widths, np.uint8, MAX_WIDTH)
        end = self._bit + int(widths.sum(dtype=np.int64))
        self._require(bits=end)
        values = np.zeros(len(widths), np.uint32)
        self._engine.unpack_bits(self._bits, self._bit, widths, values)
        self._bit = end
        return values

    @property
    def stream(self) -> tuple[np.ndarray, ...]:
        """Where decoding stands, for compiled code that moves it on: states, words, at, ends and taken as in Source,
        and the raw bits, padded."""
        return self._states, self._words, self._at, self._ends, self._taken, self._bits

    @property
    def position(self) -> tuple[int, int]:
        """The next raw bit, and where they end."""
        return self._bit, self._bit_end

    @property
    def lookup(self) -> Lookup:
        """That of the tables."""
        return self._tables.lookup

    def moved(self, bit: int, missing: int) -> None:
        """What compiled code has taken: up to which raw bit it wanted, and how many symbols no segment has. Raises what
        take() and take_bits() would have.
        """
        self._require(missing=missing, bits=bit, dry=self._at > self._ends)
        self._bit = bit

    @property
    def layout(self) -> Layout:
        """What there is to be taken, for those who take it elsewhere."""
        words = self._words[: len(self._words) - _PADDING].view("<u2").astype(np.uint16)
        return Layout(self._states, words, self._at, self._ends, self._taken, self._bits[: self._bit_end // 8])

    def taken(self, bits: int, dry: np.ndarray, ended: np.ndarray | None) -> None:
        """What has been taken elsewhere: raw bits, which segments (S,) bool ran dry, and, where that was all, which
        ended as they should. Raises what take(), take_bits() and finish() would have.
        """
        self._require(bits=bits, dry=dry)
        if ended is not None:
            self._bit = bits
            self._finish(bool(ended.all()))

    def finish(self) -> None:
        """Raises DamagedFile unless all words and bits were taken and all states are as the encoder began: intact."""
        self._finish(bool((self._at == self._ends).all() and (self._states == LOW).all()))

    def _finish(self, ended: bool) -> None:
        if not ended:
            raise self._damaged("the symbols do not end where they should")
        unread = self._bits[self._bit // 8 : self._bit_end // 8]
        if len(unread) > (self._bit % 8 > 0) or (len(unread) and unread[0] >> self._bit % 8):
            raise self._damaged("the raw bits do not end where they should")

    def _require(self, *, missing: int = 0, bits: int = 0, dry: np.ndarray | None = None) -> None:
        """Raises DamagedFile: symbols are missing, raw bits end before `bits`, segments ran dry; the first of these."""
        if missing:
            raise self._damaged(f"{missing} symbols are missing")
        if bits > self._bit_end:
            raise self._damaged(f"raw bits end at {self._bit_end}, {bits} are needed")
        if dry is not None and dry.any():
            raise self._damaged(f"segment {np.argmax(dry)} runs out of words")

    def _damaged(self, what: str) -> DamagedFile:
        return DamagedFile(f"{self._where}: {what}; the archive is damaged, get another copy")


def _checked(array: np.ndarray, dtype: type, highest: int) -> np.ndarray:
    array = np.ascontiguousarray(array)
    if array.dtype != dtype or array.ndim != 1 or (len(array) and int(array.max()) > highest):
        raise ValueError(f"{np.dtype(dtype)} (n,) from 0 to {highest} expected, not {array.dtype} {array.shape}")
    return array


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _padded(data: memoryview) -> np.ndarray:
    return np.frombuffer(bytes(data) + bytes(_PADDING), np.uint8)


def layout(symbols: int, bits: int) -> tuple[int, int]:
    """Segments and lanes whose states and sizes stay under 0.5 % of the payload of so many symbols, which need so many
    bits; (0, 1) where no symbol is."""
    if not symbols:
        return 0, 1
    size = bits >> 3
    lanes = max([1, *(lanes for lanes in (2, 4, 8, 16, 32) if 200 * (4 * lanes + 8) <= size)])
    return min(MAX_SEGMENTS, max(1, size // _SEGMENT)), lanes


def code_length(counts: np.ndarray, freq: np.ndarray) -> int:
    """Bits that fewer than 2^39 symbols need."""
    return int((counts * code_lengths(freq)).sum()) >> 20


def code_lengths(freq: np.ndarray) -> np.ndarray:
    """Bits of symbols of these frequencies (0 counts as 1), int64 in 2^-20; in integers: the same on every machine."""
    lengths: np.ndarray = _all_code_lengths()[freq]
    return lengths


@cache
def _all_code_lengths() -> np.ndarray:
    """(TOTAL + 1,) int64: code_lengths() of each frequency."""
    freq = np.arange(TOTAL + 1).clip(1)
    log2 = np.zeros_like(freq)
    for k in range(1, PROB_BITS + 1):
        log2 += freq >> k > 0
    mantissa = freq << 30 - log2
    for _ in range(20):  # squaring a mantissa in [1, 2) gives the next bit of its logarithm
        mantissa = mantissa * mantissa >> 30
        log2 = 2 * log2 + (mantissa >> 31)
        mantissa >>= mantissa >> 31
    return (PROB_BITS << 20) - log2
