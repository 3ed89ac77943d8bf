"""The building blocks of an archive as SPEC.md has them: varint, bytes, stream, values. For spec_reader.py."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xxhash
import zstandard
from pcodec import standalone

FLOATS = ("<f2", "<f4", "<f8")


class SpecError(Exception):
    """The archive is not what SPEC.md says."""


def require(condition: bool, what: str) -> None:
    """Raises SpecError unless `condition`."""
    if not condition:
        raise SpecError(what)


class Cursor:
    """Takes SPEC.md's building blocks from bytes, one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def raw(self, count: int) -> bytes:
        require(self.at + count <= len(self.data), "bytes are missing")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.raw(1)[0]

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "little")

    def i32(self) -> int:
        return int.from_bytes(self.raw(4), "little", signed=True)

    def varint(self) -> int:
        value = 0
        for position in range(10):
            byte = self.u8()
            value += (byte % 128) * 128**position
            if byte < 128:
                return value
        raise SpecError("a varint of more than 10 bytes")

    def bytes(self) -> bytes:
        return self.raw(self.varint())

    def stream(self, dtype: str, count: int) -> np.ndarray:
        kind = np.dtype(dtype)
        codec, size, stored = self.u8(), self.varint(), self.bytes()
        require(size == count * kind.itemsize, "a stream of another size")
        if codec == 3:
            return pcodec(stored, kind, count)
        unpacked = stored if codec == 0 else unzstd(stored, size, words() if codec == 4 else None)
        require(codec in (0, 1, 2, 4) and len(unpacked) == size, "a stream of an unknown codec or size")
        if codec == 2:
            unpacked = bytes(unpacked[plane * count + i] for i in range(count) for plane in range(kind.itemsize))
        return np.frombuffer(unpacked, kind)

    def difference(self, base: bytes) -> bytes:
        """A table as what differs from another one (FRAMES.md)."""
        size, table, at = self.varint(), b"", 0
        require(max(size, len(base)) <= 1 << 16, "tables are too large")
        while len(table) < size:
            same = self.varint()
            require(at + same <= len(base) or same == 0, "the base has fewer bytes")
            table, at = table + base[at : at + same], at + same
            if len(table) < size:
                count, what = divmod(self.varint(), 4)
                at += -count if what == 3 else count
                if what == 0:
                    table += self.raw(count)
                elif what == 1:
                    distance = self.varint()
                    require(0 < distance <= len(table) and count <= size, "what is not there is repeated")
                    for _ in range(count):
                        table += table[-distance:][:1]
                require(at >= 0, "there is nothing before the base")
        require(len(table) == size, "too many bytes")
        return table

    def values(self, count: int, width: int, components: int) -> list[tuple[int, ...]]:
        """`count` values as tuples of the bits of their components, `width` bytes each."""
        kind = np.dtype(FLOATS[self.u8()])
        require(kind.itemsize <= width, "a stored type wider than the grid's")
        columns = []
        for _ in range(components):
            stored = self.stream(kind.str, count).view(f"<u{kind.itemsize}")
            columns.append([widened(int(bits), kind.itemsize, width) for bits in stored])
        return list(zip(*columns, strict=True))

    def end(self) -> None:
        require(self.at == len(self.data), "bytes are left over")


def unzstd(data: bytes, size: int, dictionary: zstandard.ZstdCompressionDict | None = None) -> bytes:
    require(zstandard.frame_content_size(data) == size, "a zstd frame that states another size")
    return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data)


@functools.cache
def words() -> zstandard.ZstdCompressionDict:
    """The dictionary of codec 4, which is data of the package."""
    content = (Path(find_spec("neuralvdb").origin).parent / "archive/zstd_dictionary.bin").read_bytes()
    require(xxhash.xxh3_128_hexdigest(content) == "79e8ffdd1d77e61daffb27587db272c9", "other words")
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def pcodec(data: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    out = np.empty(count, dtype)
    progress = standalone.simple_decompress_into(data, out)
    require(progress.n_processed == count and progress.finished, "pcodec gave another number of values")
    return out


@functools.lru_cache(maxsize=1 << 17)
def widened(bits: int, narrow: int, wide: int) -> int:
    """Bits of an IEEE 754 number of `narrow` bytes as one of `wide` bytes; a NaN keeps sign and payload."""
    layout = {2: (5, 10), 4: (8, 23), 8: (11, 52)}  # bits of exponent and fraction
    (e_from, f_from), (e_to, f_to) = layout[narrow], layout[wide]
    fraction, exponent, sign = bits % (1 << f_from), (bits >> f_from) % (1 << e_from), bits >> (e_from + f_from)
    bias = (1 << (e_to - 1)) - (1 << (e_from - 1))
    if exponent == (1 << e_from) - 1:  # infinity or NaN
        exponent = (1 << e_to) - 1
    elif exponent > 0:
        exponent += bias
    elif fraction and narrow != wide:  # subnormal: becomes normal
        exponent = bias + 1
        while fraction < 1 << f_from:
            fraction, exponent = fraction * 2, exponent - 1
        fraction -= 1 << f_from
    return (((sign << e_to) + exponent) << f_to) + (fraction << (f_to - f_from))
