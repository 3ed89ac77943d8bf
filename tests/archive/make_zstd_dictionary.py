"""How neuralvdb/archive/zstd_dictionary.bin was made: what indexes and tables are likely to hold.

Of indexes, sections of three grids; of values, those of a fog volume and of velocities without tiles; of frames, words
of .vdb files in their order. What is likely to be repeated at length comes last.
"""

from __future__ import annotations

import struct

_NAMES = """surface solid collision mask points rest uv Cd Alpha N v id emission ambient cloud sdf vdb ls_sphere
distance react phi phi_out phi_in phi_obstacle phi_inflow pressure divergence color_r color_g color_b burn scatter heat
fire shadow fuel vel.x vel.y vel.z velocity_previous velocity vel flame temperature density"""
_TYPES = ["bool", "int32", "int64", "vec3i", "vec3d", "double", "vec3s", "float"]
_CLASSES = "unknown", "staggered", "level set", "fog volume"
_VECTORS = "contravariant relative", "contravariant absolute", "covariant", "covariant normalize", "invariant"
_COMPRESSIONS = "none", "zip", "active values", "zip + active values", "blosc", "blosc + active values"
_MAPS = "TranslationMap", "AffineMap", "ScaleMap", "ScaleTranslateMap", "UniformScaleMap", "UniformScaleTranslateMap"
# Tables of values without their first 51 bytes, zeros left out: "+n" stands for n of them.
_VALUES = (
    "01401128b52ffd204045 +2 10 +2 01 +1 93 +1 16 +2 0202 +3 0202 +3 0202 +13 0101 +45 0101 +44 011a1128b52ffd201a45 +2"
    " 10 +2 01 +1 20c002 +33",
    "01401228b52ffd20404d +2 18c0 +2 01 +1 92c010 +2 0202 +7 0101 +21 0101 +20 01221128b52ffd202245 +2 10 +2 01 +1"
    " 38c002 +15",
)
# Kinds and codecs of sections, and their versions.
_SECTIONS = {("TOPO", 3): 1, ("VALS", 0): 1, ("TOPO", 2): 1, ("TOPO", 1): 1, ("VALS", 1): 2, ("TILE", 0): 2}
_BOX, _COUNT = struct.pack("<3i", 0, 0, 0), struct.pack("<q", 1 << 16)


def _entry(name: str, kind: str, value: bytes) -> bytes:
    """Metadata as OpenVDB serialises it."""
    return b"".join(struct.pack("<I", len(text)) + text for text in (name.encode(), kind.encode(), value))


def _text(name: str, value: str) -> bytes:
    return _entry(name, "string", value.encode())


def _grid(name: str, kind: str, compression: str, extra: bool, transform: str) -> bytes:
    """A grid's entry, nearly: name, type, metadata with what Blender or, if extra, Houdini adds, transform."""
    pieces = [
        bytes([len(name)]) + name.encode() + bytes([len(kind)]) + kind.encode() + b"\0\x89\3\x0b\0\0\0",
        _text("class", "fog volume"),
        b"" if extra else _entry("file_base_resolution", "vec3i", _BOX),
        _entry("file_bbox_max", "vec3i", _BOX) + _entry("file_bbox_min", "vec3i", _BOX),
        _text("file_compression", compression),
        _entry("file_mem_bytes", "int64", _COUNT) + _entry("file_voxel_count", "int64", _COUNT),
        b"" if extra else _entry("file_voxel_size", "float", struct.pack("<f", 0.1)),
        _entry("is_local_space", "bool", b"\0") if extra else b"",
        _entry("is_saved_as_half_float", "bool", b"\1"),
        _text("name", name),
        _text("value_type", "float") + _text("vector_type", "invariant") if extra else b"",
        b"\x8b\1" + struct.pack("<I", len(transform)) + transform.encode(),
        b"".join(struct.pack("<3d", size, size, size) for size in (0.1, 0.1, 100, 10, 5)),
    ]
    return b"".join(pieces)


def _section(kind: str, codec: int, version: int, grid: int, number: int = 0) -> bytes:
    """An entry of an index, sizes and checksum left out."""
    return struct.pack("<4sBBHHHIIIQQQ", kind.encode(), 1, 0, codec, version, 0, 0, grid, number, 0, 0, 0)


def _unpacked(text: str) -> bytes:
    tokens = text.split()
    return b"".join(bytes(int(token)) if token[0] == "+" else bytes.fromhex(token) for token in tokens)


DICTIONARY = b"".join(
    [
        *(_unpacked(text) for text in _VALUES),
        *(_section(*which, _SECTIONS[which], grid) for grid in (2, 1, 0) for which in _SECTIONS),
        *(_section("TILE", 0, 2, 0, chunk) for chunk in (1, 2, 3)),
        _section("FRAM", 0, 2, 0xFFFFFFFF),
        *(_text("name", name) for name in _NAMES.split()),
        *(_text("vector_type", value) for value in _VECTORS),
        *(_text("class", value) for value in _CLASSES),
        *(_text("file_compression", value) for value in _COMPRESSIONS),
        *(bytes([len(name)]) + name.encode() for name in _NAMES.split()),
        *(f"\x10Tree_{kind}_5_4_3".encode() for kind in _TYPES),
        *(struct.pack("<I", len(name)) + name.encode() for name in _MAPS),
        _entry("roiMax", "vec3i", _BOX) + _entry("roiMin", "vec3i", _BOX),
        _entry("rest2_ratio", "float", bytes(4)) + _entry("rest_ratio", "float", bytes(4)),
        _entry("timescale", "float", struct.pack("<f", 1)),
        *(
            _text("creator", f"Houdini {value}")
            for value in ("19.5.303/GEO_VDBTranslator", "20.5.584/GEO_VDBTranslator")
        ),
        _text("creator", "Houdini/SOP_OpenVDB_Write"),
        _grid("velocity", "Tree_vec3s_5_4_3", "blosc", False, "UniformScaleMap"),
        _grid("density", "Tree_float_5_4_3", "blosc + active values", True, "UniformScaleTranslateMap"),
        struct.pack("<3I", 224, 10, 0) + b"$00000000-0000-4000-8000-000000000000\4\0\0\0\0",
    ]
)
