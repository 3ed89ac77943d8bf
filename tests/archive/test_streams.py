"""Streams: every codec is taken for some array, every array comes back, and no lie about sizes takes memory."""

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pcodec import ChunkConfig, standalone

from neuralvdb.archive import FieldReader, FieldWriter, open_table, pack_table, put_array, take_array
from neuralvdb.archive.streams import StreamCodec
from neuralvdb.archive.zstd_dictionary import zstd_dictionary
from neuralvdb.errors import DamagedFile

RNG = np.random.default_rng(0)
REPEATED = np.frombuffer(b"".join(bytes([i % 7, i // 7 % 3, 0, 200]) for i in range(4000)), np.uint32)
TAKEN = {  # which codec is taken for which array
    "random bytes": (StreamCodec.STORE, RNG.integers(0, 256, 1000, np.uint8)),
    "random bits": (StreamCodec.STORE, RNG.integers(0, 1 << 64, 1000, np.uint64)),
    "nothing": (StreamCodec.STORE, np.zeros(0, np.float32)),
    "a mask": (StreamCodec.ZSTD, np.repeat(np.arange(10, dtype=np.uint8), 100)),
    "one value": (StreamCodec.ZSTD, np.zeros(1000, np.float32)),
    "planes": (StreamCodec.PLANES, REPEATED),
    "noise": (StreamCodec.PCODEC, RNG.normal(size=4000).astype(np.float32)),
    "half noise": (StreamCodec.PCODEC, RNG.random(4000).astype(np.float16)),
    "double noise": (StreamCodec.PCODEC, RNG.normal(size=4000)),
    "steps": (StreamCodec.PCODEC, np.arange(1000, dtype=np.int32)),
}
DTYPES = ("u1", "<i4", "<u4", "<u8", "<f2", "<f4", "<f8")
HUGE = 1 << 40


def stream(codec: int, size: int, data: bytes) -> bytes:
    out = FieldWriter()
    out.put("u8", codec)
    out.put_varint(size)
    out.put_bytes(data)
    return out.getvalue()


def put(array: np.ndarray) -> bytes:
    out = FieldWriter()
    put_array(out, array)
    return out.getvalue()


def take(data: bytes, dtype: str, count: int) -> np.ndarray:
    source = FieldReader(data, "here")
    array = take_array(source, np.dtype(dtype), count)
    source.finish()
    return array


def refused_cheaply(data: bytes, dtype: str, count: int, what: str) -> None:
    """Asserts that the stream is refused before memory is taken for what it claims."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile, match=what):
            take(data, dtype, count)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TAKEN)
def test_the_codec_named_is_taken_and_gives_the_array_back(name):
    codec, array = TAKEN[name]
    data = put(array)
    assert data[0] == codec
    assert take(data, array.dtype.str, len(array)).tobytes() == array.tobytes()
    assert len(data) <= array.nbytes + 21  # codec and two varints, whatever the array


def test_every_codec_is_taken():
    assert {codec for codec, _ in TAKEN.values()} | {StreamCodec.DICTIONARY} == set(StreamCodec)


def test_a_table_takes_less_than_its_words():
    """Names and types of a usual grid are known before."""
    table = b"\x07density\x10Tree_float_5_4_3" + b"\5\0\0\0class\6\0\0\0string\x0a\0\0\0fog volume"
    payload = pack_table(table)
    assert payload[0] == StreamCodec.DICTIONARY and len(payload) < len(table) / 2
    assert take(payload, "u1", len(table)).tobytes() == table


@given(st.sampled_from(DTYPES), st.binary(max_size=600))
def test_any_bits_come_back(dtype, data):
    array = np.frombuffer(data[: len(data) // 8 * 8], dtype)
    assert take(put(array), dtype, len(array)).tobytes() == array.tobytes()


@pytest.mark.parametrize("codec", StreamCodec)
@pytest.mark.parametrize("dtype", ["<u4", "<f4"])
def test_every_codec_decodes_whatever_the_encoder_prefers(codec, dtype):
    array = np.arange(100).astype(dtype)
    planes = np.ascontiguousarray(array.view(np.uint8).reshape(-1, 4).T)
    stored = {
        StreamCodec.STORE: array.tobytes(),
        StreamCodec.ZSTD: zstandard.compress(array.tobytes()),
        StreamCodec.PLANES: zstandard.compress(planes.tobytes()),
        StreamCodec.PCODEC: standalone.simple_compress(array, ChunkConfig()),
        StreamCodec.DICTIONARY: zstandard.ZstdCompressor(dict_data=zstd_dictionary()).compress(array.tobytes()),
    }
    assert take(stream(codec, 400, stored[codec]), dtype, 100).tolist() == array.tolist()


def test_another_size_than_expected_is_refused_cheaply():
    for codec in StreamCodec:
        refused_cheaply(stream(codec, HUGE, b"abc"), "u1", 3, "1099511627776 bytes where 3 values")


def test_a_stored_length_beyond_the_end_is_refused_cheaply():
    out = FieldWriter()
    out.put("u8", StreamCodec.STORE)
    out.put_varint(3)
    out.put_varint(HUGE)
    refused_cheaply(out.getvalue() + b"abc", "u1", 3, "bytes are declared but 3 follow")


def test_a_zstd_bomb_is_refused_cheaply():
    bomb = zstandard.compress(bytes(64 << 20))
    for codec in (StreamCodec.ZSTD, StreamCodec.PLANES):
        refused_cheaply(stream(codec, 400, bomb), "<u4", 100, "67108864 bytes are declared instead of 400")


def test_a_zstd_frame_without_a_size_is_refused_cheaply():
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))
    refused_cheaply(stream(StreamCodec.ZSTD, 1 << 20, silent), "u1", 1 << 20, "does not decompress")


def test_two_zstd_frames_are_refused():
    data = zstandard.compress(b"abcd") * 2
    with pytest.raises(DamagedFile, match="does not decompress"):
        take(stream(StreamCodec.ZSTD, 4, data), "u1", 4)


@pytest.mark.parametrize("stored", [99, 101])
def test_pcodec_with_another_count_is_refused(stored):
    data = standalone.simple_compress(np.arange(stored, dtype=np.int32), ChunkConfig())
    with pytest.raises(DamagedFile, match="here"):
        take(stream(StreamCodec.PCODEC, 400, data), "<i4", 100)


def test_pcodec_of_another_type_is_refused():
    data = standalone.simple_compress(np.arange(100, dtype=np.int32), ChunkConfig())
    with pytest.raises(DamagedFile, match="here"):
        take(stream(StreamCodec.PCODEC, 400, data), "<f4", 100)


def test_pcodec_garbage_is_refused():
    with pytest.raises(DamagedFile, match="here"):
        take(stream(StreamCodec.PCODEC, 400, bytes(range(50))), "<i4", 100)


def test_an_unknown_codec_is_refused():
    with pytest.raises(DamagedFile, match="stream codec 5 does not exist"):
        take(stream(5, 4, b"abcd"), "u1", 4)


def test_a_table_of_more_than_may_be_is_refused():
    with pytest.raises(DamagedFile, match=f"a table of {HUGE} bytes is declared"):
        open_table(stream(StreamCodec.DICTIONARY, HUGE, b"abc"), "here")


def test_too_few_stored_bytes_are_refused():
    with pytest.raises(DamagedFile, match="3 bytes stored"):
        take(stream(StreamCodec.STORE, 4, b"abc"), "u1", 4)
