"""Lossless streams: one array each, compressed by whichever library codec makes it smallest.

A stream is: codec (u8), raw length (varint), stored length (varint), bytes. Codecs: 0 as it is, 1 zstd,
2 zstd of the array's byte planes (all first bytes, then all second ones, ...), 3 pcodec, 4 zstd that knows what
tables are likely to hold (zstd_dictionary.bin). Measured against blosc2 and others in data/results/lossless_codecs.md.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import zstandard
from pcodec import ChunkConfig, standalone

from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.zstd_dictionary import zstd_dictionary

SAMPLE = 1 << 14  # values; longer streams choose their codec on a piece of this length from their middle
_LEVEL = 9
_SMALL = 1 << 9  # bytes of a stream in a table, which compresses better as a whole
_LEAST = 9  # bytes that every codec takes but the first
MAX_TABLE = 1 << 28  # bytes
_MASK_LEVEL, _MASK_SIZE = 19, 1 << 20  # for arrays of bytes up to this size


class StreamCodec(IntEnum):
    """How a stream's bytes are stored."""

    STORE = 0
    ZSTD = 1
    PLANES = 2
    PCODEC = 3
    DICTIONARY = 4


def put_array(out: FieldWriter, array: np.ndarray) -> None:
    """Appends a stream of a one-dimensional array of integers or floats of 1, 2, 4 or 8 bytes."""
    if out.in_table and array.nbytes <= _SMALL:
        _put(out, array, StreamCodec.STORE, b"")
        return
    middle = max(0, (len(array) - SAMPLE) // 2)
    sample = array if array.itemsize == 1 else array[middle : middle + SAMPLE]
    encoded = {codec: _encode(codec, sample) for codec in _tried(array)}
    codec = min(encoded, key=lambda tried: (len(encoded[tried]), tried))
    _put(out, array, codec, encoded[codec] if len(sample) == len(array) else _encode(codec, array))


def likely_stream_size(array: np.ndarray) -> int:
    """Bytes, nearly, that put_array() appends for an array of bytes."""
    return min(len(zstandard.ZstdCompressor(level=_LEVEL).compress(array.data)), array.nbytes)


def pack_table(table: bytes) -> bytes:
    """A payload that is one stream, of bytes such as the dictionary has."""
    out = FieldWriter()
    array = np.frombuffer(table, np.uint8)
    _put(out, array, StreamCodec.DICTIONARY, _encode(StreamCodec.DICTIONARY, array))
    return out.getvalue()


def store_table(table: bytes) -> bytes:
    """A payload that open_table() opens, not compressed."""
    out = FieldWriter()
    _put(out, np.frombuffer(table, np.uint8), StreamCodec.STORE, b"")
    return out.getvalue()


def _put(out: FieldWriter, array: np.ndarray, codec: StreamCodec, data: bytes) -> None:
    """Appends a stream of an array, which `codec` makes into `data`."""
    if codec is StreamCodec.STORE or len(data) >= array.nbytes:
        codec, data = StreamCodec.STORE, array.tobytes()
    out.put("u8", codec)
    out.put_varint(array.nbytes)
    out.put_bytes(data)


def take_array(source: FieldReader, dtype: np.dtype, count: int) -> np.ndarray:
    """The array (count,) that put_array() wrote. Raises DamagedFile, before taking memory, on any other length."""
    codec = source.take("u8")
    size = source.take_varint()
    if size != count * dtype.itemsize:
        raise source.damaged(f"a stream holds {size} bytes where {count} values of {dtype} belong")
    data = source.take_bytes()
    if codec not in _DECODERS:
        raise source.damaged(f"stream codec {codec} does not exist")
    try:
        return _DECODERS[codec](data, dtype, count)
    except (ValueError, RuntimeError, zstandard.ZstdError) as error:
        raise source.damaged(f"a stream does not decompress ({error})") from error


def open_table(payload: bytes, where: str, size: int | None = None, most: int = MAX_TABLE) -> FieldReader:
    """What a payload that is one stream of bytes holds, `size` of them if that is known.

    Raises DamagedFile, before taking memory, on any other length and where there are more than `most`.
    """
    source = FieldReader(payload, where)
    if size is None:
        ahead = FieldReader(payload, where)
        ahead.take("u8")
        size = ahead.take_varint()
    if size > most:
        raise source.damaged(f"a table of {size} bytes is declared")
    table = take_array(source, np.dtype(np.uint8), size)
    source.finish()
    return FieldReader(table.data, where)


def zstd_decompress(
    data: bytes | memoryview, size: int, dictionary: zstandard.ZstdCompressionDict | None = None
) -> bytes:
    """Exactly `size` bytes. Raises ValueError, before taking memory, where the frame declares any other size."""
    try:
        declared = zstandard.frame_content_size(data)
        if declared != size:
            raise ValueError(f"{declared} bytes are declared instead of {size}")
        return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _tried(array: np.ndarray) -> tuple[StreamCodec, ...]:
    """The codecs of which one may make an array smallest."""
    if array.nbytes < _LEAST:
        return (StreamCodec.STORE,)
    if array.itemsize == 1:
        return (StreamCodec.ZSTD,)
    return StreamCodec.ZSTD, StreamCodec.PLANES, StreamCodec.PCODEC


def _encode(codec: StreamCodec, array: np.ndarray) -> bytes:
    if codec is StreamCodec.STORE:
        return array.tobytes()
    if codec is StreamCodec.PCODEC:
        return bytes(standalone.simple_compress(array, ChunkConfig()))
    raw = _planes(array) if codec is StreamCodec.PLANES else array
    level = _MASK_LEVEL if array.itemsize == 1 and array.nbytes <= _MASK_SIZE else _LEVEL
    dictionary = zstd_dictionary() if codec is StreamCodec.DICTIONARY else None
    return zstandard.ZstdCompressor(level=level, dict_data=dictionary).compress(raw.data)


def _planes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.view(np.uint8).reshape(-1, array.itemsize).T)


def _decode_store(data: memoryview, dtype: np.dtype, count: int) -> np.ndarray:
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes stored")
    return np.frombuffer(data, dtype, count).copy()  # `data` may lie where such numbers may not


def _decode_zstd(data: memoryview, dtype: np.dtype, count: int) -> np.ndarray:
    return np.frombuffer(zstd_decompress(data, count * dtype.itemsize), dtype, count)


def _decode_planes(data: memoryview, dtype: np.dtype, count: int) -> np.ndarray:
    planes = _decode_zstd(data, np.dtype(np.uint8), count * dtype.itemsize).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)


def _decode_with_dictionary(data: memoryview, dtype: np.dtype, count: int) -> np.ndarray:
    return np.frombuffer(zstd_decompress(data, count * dtype.itemsize, zstd_dictionary()), dtype, count)


def _decode_pcodec(data: memoryview, dtype: np.dtype, count: int) -> np.ndarray:
    out = np.empty(count, dtype)
    try:
        progress = standalone.simple_decompress_into(bytes(data), out)
    except BaseException as error:  # a panic of the Rust library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)):
            raise
        raise ValueError(str(error)) from error
    if progress.n_processed != count or not progress.finished:
        raise ValueError(f"{progress.n_processed} values instead of {count}")
    return out


_DECODERS: dict[int, Callable[[memoryview, np.dtype, int], np.ndarray]] = {
    StreamCodec.STORE: _decode_store,
    StreamCodec.ZSTD: _decode_zstd,
    StreamCodec.PLANES: _decode_planes,
    StreamCodec.PCODEC: _decode_pcodec,
    StreamCodec.DICTIONARY: _decode_with_dictionary,
}
