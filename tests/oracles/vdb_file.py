"""What the bytes of a .vdb file say before any value: names, metadata, transforms, in the file's own order.

Written from OpenVDB's format alone (io/Archive.cc, io/GridDescriptor.cc, MetaMap.cc, math/Maps.h); standard
library only. File versions 222 to 225, all integers little-endian:

    magic i64 · version u32 · library u32 u32 · has offsets u8 · uuid 36 · metadata · grids i32, then for each
    name · type · parent · grid position i64 · block position i64 · end position i64 · (at the grid position)
    compression u32 · metadata · transform · topology · buffers

    metadata = entries u32, then name · type · size u32 · value;    name, type, parent = size u32 · characters
"""

import io
import struct

_VECTOR = 24  # bytes of three doubles
_TRANSFORM_SIZES = {
    b"AffineMap": 128,
    b"UnitaryMap": 128,
    b"TranslationMap": _VECTOR,
    b"ScaleMap": 5 * _VECTOR,
    b"UniformScaleMap": 5 * _VECTOR,
    b"ScaleTranslateMap": 6 * _VECTOR,
    b"UniformScaleTranslateMap": 6 * _VECTOR,
    b"NonlinearFrustumMap": 48 + 8 + 8 + len(b"\x09\0\0\0AffineMap") + 128,
}
# An index of the file's own bytes that OpenVDB makes on writing and drops on reading.
_OWN_BYTES = b"file_delayed_load"


def outline(path: str) -> dict:
    """uuid, metadata and grids of a file; `grids` is None in a file without grid offsets, where only a decoder
    finds the next grid."""
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read())
    magic, _version, _major, _minor, has_offsets = struct.unpack("<q3IB", stream.read(21))
    if magic != 0x56444220:
        raise ValueError(f"{path}: no VDB file")
    uuid = stream.read(36).decode("latin-1")
    described = {"uuid": uuid, "metadata": _metadata(stream), "grids": [] if has_offsets else None}
    (count,) = struct.unpack("<i", stream.read(4))
    for _ in range(count if has_offsets else 0):
        described["grids"].append(_grid(stream))
    return described


def _grid(stream: io.BytesIO) -> dict:
    """One grid's entry; leaves the stream at the next."""
    name, kind, parent = (_text(stream) for _ in range(3))
    position, _, end = struct.unpack("<3q", stream.read(24))
    stream.seek(position + 4)
    described = {
        "unique_name": name.decode("latin-1"),
        "type": kind.decode("latin-1"),
        "parent": parent.decode("latin-1"),
        "metadata": _metadata(stream),
        "transform": _transform(stream),
    }
    stream.seek(end)
    return described


def _metadata(stream: io.BytesIO) -> list:
    """[name, type, value as hexadecimal] of every entry."""
    (count,) = struct.unpack("<I", stream.read(4))
    entries = [(_text(stream), _text(stream), _text(stream)) for _ in range(count)]
    return [[n.decode("latin-1"), t.decode("latin-1"), v.hex()] for n, t, v in entries if n != _OWN_BYTES]


def _transform(stream: io.BytesIO) -> list:
    """[type, parameters as hexadecimal]."""
    kind = _text(stream)
    return [kind.decode("latin-1"), stream.read(_TRANSFORM_SIZES[kind]).hex()]


def _text(stream: io.BytesIO) -> bytes:
    (size,) = struct.unpack("<I", stream.read(4))
    return stream.read(size)
