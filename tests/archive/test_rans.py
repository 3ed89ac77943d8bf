"""rANS: both implementations give the same bytes, the length is what theory allows, damage is DamagedFile or wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuralvdb.archive.rans import Decoder, Encoder, Tables, normalise
from neuralvdb.errors import DamagedFile

BOTH = ["reference", "native"]
GOLDEN = "08047d6f5e0506c3734200c053"


def skewed(classes: int, alphabet: int, seed: int, sharpest: float = 8.0) -> Tables:
    """Two-sided geometric tables, from nearly certain to nearly flat."""
    rng = np.random.default_rng(seed)
    centre = rng.integers(0, alphabet, (classes, 1))
    decay = np.exp(-np.geomspace(0.02, sharpest, classes))[:, None]
    return Tables(normalise((decay ** abs(np.arange(alphabet) - centre) * (1 << 30)).astype(np.int64)))


def drawn(tables: Tables, n: int, seed: int, among: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and symbols with the probabilities of their tables."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, among or len(tables.freq), n).astype(np.uint8)
    return classes, (tables.slots[classes, rng.integers(0, 4096, n)] & 255).astype(np.uint8)


def encoded(tables, batches, bits=(), implementation="native", threads=1) -> bytes:
    encoder = Encoder(tables, implementation)
    for batch in batches:
        encoder.put(*batch)
    for pair in bits:
        encoder.put_bits(*pair)
    return encoder.finish(threads)


def assert_decodes(data, tables, batches, bits=(), implementation="native", threads=1):
    decoder = Decoder(data, tables, "here", threads, implementation)
    for classes, symbols in batches:
        np.testing.assert_array_equal(decoder.take(classes), symbols)
    for values, widths in bits:
        np.testing.assert_array_equal(decoder.take_bits(widths), values)
    decoder.finish()


def ideal_bytes(tables: Tables, batches) -> float:
    """The code length of the symbols by their frequencies."""
    return sum(np.sum(12 - np.log2(tables.freq[batch].astype(float))) for batch in batches) / 8


@st.composite
def streams(draw):
    """Tables, batches of symbols that can occur, and raw bits."""
    shape = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    counts = draw(hnp.arrays(np.int64, shape, elements=st.one_of(st.integers(0, 3), st.integers(0, 1 << 43))))
    tables = Tables(normalise(counts))
    seeds = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 99)), max_size=5))
    widths = draw(st.lists(hnp.arrays(np.uint8, st.integers(0, 40), elements=st.integers(0, 24)), max_size=3))
    rng = np.random.default_rng(len(seeds))
    bits = [(rng.integers(0, 1 << w.astype(np.int64), dtype=np.int64).astype(np.uint32), w) for w in widths]
    return tables, [drawn(tables, *seed) for seed in seeds], bits


@given(streams())
def test_the_implementations_agree_and_what_is_put_is_taken(stream):
    data, other = (encoded(*stream, implementation) for implementation in BOTH)
    assert data == other
    for implementation in BOTH:
        assert_decodes(data, *stream, implementation)


@pytest.mark.parametrize(("segments", "lanes"), [(s, 1 << k) for s in (1, 2, 3, 7) for k in range(6)])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_implementations_agree_for_every_layout(monkeypatch, segments, lanes, seed):
    monkeypatch.setattr("neuralvdb.archive.rans.layout", lambda *_: (segments, lanes))
    tables = skewed(64, 64, seed)
    batches = [drawn(tables, n, n + seed) for n in (0, 1, 5, 1500, 0, 333, 64, 2)]
    data = encoded(tables, batches)
    assert data == encoded(tables, batches, implementation="reference")
    assert data[0] == 8 * segments + lanes.bit_length() - 1
    for implementation in BOTH:
        assert_decodes(data, tables, batches, implementation=implementation)


def test_the_implementations_agree_on_a_large_stream():
    tables = skewed(64, 20, 1)
    batches = [drawn(tables, 200_000, 1)]
    data = encoded(tables, batches)
    assert data[0] >> 3 > 1, "more than one segment is meant to be tested"
    assert data == encoded(tables, batches, implementation="reference")
    assert_decodes(data, tables, batches, implementation="reference")


@pytest.mark.parametrize("implementation", BOTH)
def test_golden_bytes(implementation):
    tables = Tables([[2048, 1024, 1024, 0], [4000, 32, 32, 32]])
    batches = [(np.uint8([0, 0, 1, 1, 0]), np.uint8([0, 1, 2, 0, 2])), (np.uint8([1, 0, 0]), np.uint8([3, 0, 1]))]
    bits = [(np.uint32([5, 0, 0xABCDEF]), np.uint8([3, 0, 24]))]
    data = encoded(tables, batches, bits, implementation)
    assert data.hex() == GOLDEN
    assert_decodes(data, tables, batches, bits, implementation)


def test_golden_bytes_by_hand():
    # One symbol of frequency 1024 after 2048: x = (65536 // 1024) * 4096 + 2048 = 0x40800.
    assert encoded(Tables([[2048, 1024, 1024]]), [(np.uint8([0]), np.uint8([1]))]).hex() == "08000400080400"


@pytest.mark.parametrize("implementation", BOTH)
def test_an_empty_stream_takes_two_bytes(implementation):
    tables = skewed(2, 2, 0)
    nothing = [(np.zeros(0, np.uint8),) * 2]
    assert encoded(tables, nothing, implementation=implementation).hex() == "0000"
    assert_decodes(bytes(2), tables, nothing, implementation=implementation)
    with pytest.raises(DamagedFile, match="3 symbols are missing"):
        Decoder(bytes(2), tables, "here", implementation=implementation).take(np.zeros(3, np.uint8))


@pytest.mark.parametrize("size", [100, 400, 1000, 2000, 3000, 6000, 12_000, 25_000, 27_300, 70_000, 500_000, 4_000_000])
@pytest.mark.parametrize("sharpest", [0.5, 8.0])
def test_overhead_is_under_half_a_percent(size, sharpest):
    tables = skewed(40, 30, 3, sharpest)
    probe = drawn(tables, 20_000, 1)
    batches = [drawn(tables, int(size / ideal_bytes(tables, [probe]) * 20_000), 2)]
    assert len(encoded(tables, batches)) <= ideal_bytes(tables, batches) * 1.005 + 7


@pytest.mark.parametrize("sharpest", [0.1, 3.0, 9.0])
def test_code_length_is_ideal(monkeypatch, sharpest):
    monkeypatch.setattr("neuralvdb.archive.rans.layout", lambda *_: (1, 8))
    tables = skewed(64, 64, 5, sharpest)
    batches = [drawn(tables, 3_000_000, 3)]
    assert len(encoded(tables, batches)) <= ideal_bytes(tables, batches) * 1.001 + 64


def test_code_length_of_nearly_certain_symbols_is_ideal(monkeypatch):
    monkeypatch.setattr("neuralvdb.archive.rans.layout", lambda *_: (1, 8))
    tables = Tables([[1, 4092, 1, 1, 1]])
    batches = [drawn(tables, 10_000_000, 3)]
    assert len(encoded(tables, batches)) <= ideal_bytes(tables, batches) * 1.001 + 64


def test_threads_change_nothing():
    tables = skewed(64, 33, 7)
    batches = [drawn(tables, n, n) for n in (700_000, 10, 0, 500_000)]
    data = encoded(tables, batches)
    assert data[0] >> 3 > 1, "more than one segment is meant to be tested"
    for threads in (2, 3, 16):
        assert encoded(tables, batches, threads=threads) == data
        assert_decodes(data, tables, batches, threads=threads)


def attempt(data: bytes, tables: Tables, batches, bits, implementation) -> str:
    """Decodes; the outcome is the message of the DamagedFile, or which symbols came out."""
    try:
        decoder = Decoder(data, tables, "here", 2, implementation)
        symbols = b"".join(decoder.take(classes).tobytes() for classes, _ in batches)
        symbols += b"".join(decoder.take_bits(widths).tobytes() for _, widths in bits)
        decoder.finish()
        return symbols.hex()
    except DamagedFile as error:
        return str(error)


TABLES = skewed(8, 12, 11, 2.0)
BATCHES = [drawn(TABLES, n, n) for n in (900, 0, 77)]
BITS = [(np.arange(40, dtype=np.uint32), np.full(40, 7, np.uint8))]


@given(st.data())
@settings(max_examples=200)
def test_damage_is_found_or_gives_wrong_symbols(data):
    whole = encoded(TABLES, BATCHES, BITS)
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    flips = st.dictionaries(st.integers(0, len(whole) - 1), st.integers(1, 255), max_size=4)
    for at, value in data.draw(flips).items():
        if at < len(broken):
            broken[at] ^= value
    native, reference = (attempt(bytes(broken), TABLES, BATCHES, BITS, i) for i in ("native", "reference"))
    assert native == reference


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(max_examples=300)
def test_noise_is_harmless(noise, header):
    for data in (noise, bytes([header, 0, len(noise) & 127]) + noise[:127]):
        outcome = attempt(data, TABLES, BATCHES, BITS, "native")
        assert outcome == attempt(data, TABLES, BATCHES, BITS, "reference")


def test_every_truncation_is_refused():
    whole = encoded(TABLES, BATCHES, BITS)
    for size in range(len(whole)):
        with pytest.raises(DamagedFile, match="here"):
            Decoder(whole[:size], TABLES, "here")


def test_every_flipped_bit_is_found_or_changes_what_is_decoded():
    whole = encoded(TABLES, BATCHES, BITS)
    right = attempt(whole, TABLES, BATCHES, BITS, "native")
    outcomes = []
    for bit in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        outcomes.append(attempt(bytes(broken), TABLES, BATCHES, BITS, "native"))
    assert right not in outcomes
    noticed = sum("damaged" in outcome for outcome in outcomes)
    assert noticed >= len(outcomes) - 8 * 35 - 8, "all but the raw bits, of which there are 35 bytes"


@pytest.mark.parametrize("implementation", BOTH)
def test_symbols_beyond_the_end_are_refused(implementation):
    decoder = Decoder(encoded(TABLES, BATCHES, BITS), TABLES, "here", implementation=implementation)
    for _ in range(2):
        with pytest.raises(DamagedFile, match=r"here: segment 0 runs out of words; the archive is damaged"):
            decoder.take(np.zeros(100_000, np.uint8))


@pytest.mark.parametrize("implementation", BOTH)
def test_what_is_left_over_is_found(implementation):
    data = encoded(TABLES, BATCHES, BITS)
    decoder = Decoder(data, TABLES, "here", implementation=implementation)
    with pytest.raises(DamagedFile, match="symbols do not end"):
        decoder.finish()
    for classes, _ in BATCHES:
        decoder.take(classes)
    decoder.take_bits(np.full(38, 7, np.uint8))
    with pytest.raises(DamagedFile, match="raw bits do not end"):
        decoder.finish()
    with pytest.raises(DamagedFile, match="raw bits end at 280, 287 are needed"):
        decoder.take_bits(np.full(3, 7, np.uint8))


@pytest.mark.parametrize("header", [[0x0E], [0x01], [0x88, 0x80, 0x02], [0xFF] * 9 + [1]])
def test_impossible_layouts_are_refused(header):
    with pytest.raises(DamagedFile, match="lanes are declared"):
        Decoder(bytes([*header, 0, 4]) + b"\0\0\1\0" * 1000, TABLES, "here")


def test_too_small_a_state_is_refused():
    with pytest.raises(DamagedFile, match="a state is too small"):
        Decoder(bytes.fromhex("080004ffff0000"), TABLES, "here")


@pytest.mark.parametrize("implementation", BOTH)
@pytest.mark.parametrize(
    ("classes", "symbols", "what"),
    [
        ([0, 1], [0, 3], "class 1 has symbol 3, whose frequency is 0"),
        ([0, 2], [0, 0], "from 0 to 1 expected"),
        ([0, 1], [0, 4], "from 0 to 3 expected"),
        ([0, 1], [0], "2 classes for 1 symbols"),
    ],
)
def test_symbols_that_cannot_be_coded_are_refused(implementation, classes, symbols, what):
    encoder = Encoder(Tables([[1024] * 4, [2048, 1024, 1024, 0]]), implementation)
    with pytest.raises(ValueError, match=what):
        encoder.put(np.uint8(classes), np.uint8(symbols))
    assert encoder.finish().hex() == "0000", "a refused batch leaves nothing behind"


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="int64"):
        Encoder(TABLES).put(np.zeros(2, np.int64), np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="holds it"):
        Encoder(TABLES).put_bits(np.uint32([8]), np.uint8([3]))
    with pytest.raises(ValueError, match="from 0 to 24"):
        Encoder(TABLES).put_bits(np.uint32([8]), np.uint8([25]))
    with pytest.raises(ValueError, match="from 0 to 7 expected"):
        Decoder(bytes(2), TABLES, "here").take(np.uint8([8]))
    with pytest.raises(ValueError, match="implementation 'fast' does not exist"):
        Encoder(TABLES, "fast")


@pytest.mark.parametrize(
    "freq",
    [
        *([[4095]], [[4097, -1]], [4096], np.zeros((0, 4)), [[4096]] * 65, [[4096] + [0] * 64], [[4096], [0]]),
        [[1 << 62] * 4 + [4096]],  # the sum in 64 bits is 4096
    ],
)
def test_tables_that_are_none_are_refused(freq):
    with pytest.raises(ValueError, match="frequencies"):
        Tables(freq)


def test_slots_say_symbol_frequency_and_offset():
    tables = skewed(5, 9, 2)
    for k, frequencies in enumerate(tables.freq.tolist()):
        wanted = [symbol | f - 1 << 8 | offset << 20 for symbol, f in enumerate(frequencies) for offset in range(f)]
        assert tables.slots[k].tolist() == wanted


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 64), st.integers(1, 64)), elements=st.integers(0, (1 << 44) - 1)))
def test_normalised_counts_sum_to_4096_and_keep_what_occurs(counts):
    freq = normalise(counts).astype(np.int64)
    assert (freq.sum(1) == 4096).all()
    occurring = counts.sum(1) > 0
    assert ((freq > 0) == (counts > 0))[occurring].all()
    assert (np.ptp(freq[~occurring], axis=1) <= 1).all()


def test_normalised_counts():
    counts = [[1, 1, 2], [1, 1 << 43, 0], [0, 0, 0], [1, 1, 1], [0, 7, 0], [5, 3, 4088]]
    wanted = [[1024, 1024, 2048], [1, 4095, 0], [1366, 1365, 1365], [1366, 1365, 1365], [0, 4096, 0], [5, 3, 4088]]
    assert normalise(np.array(counts)).tolist() == wanted


@pytest.mark.parametrize("counts", [[[-1, 2]], [[1 << 44]], [1, 2], [[1] * 65]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="counts are"):
        normalise(np.array(counts))
