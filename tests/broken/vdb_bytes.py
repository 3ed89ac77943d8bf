"""Makes .vdb files byte by byte, as oracles/vdb_file.py describes them, so that they can hold what no writer writes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

FLOAT = b"Tree_float_5_4_3"
_SCALE = b"UniformScaleMap"


@dataclass(frozen=True, kw_only=True)
class GridBytes:
    """A grid to write. body: topology and buffers; missing: bytes of them that its positions count and nobody wrote."""

    name: bytes
    kind: bytes = FLOAT
    parent: bytes = b""
    metadata: dict[bytes, bytes] | None = None
    body: bytes = struct.pack("<ifii", 1, 0.0, 0, 0)  # a tree without nodes: buffers, background, tiles, nodes
    missing: int = 0


def vdb_file(*grids: GridBytes, streamed: bool = False) -> bytes:
    """A file of these grids; streamed: without positions, as OpenVDB writes into a pipe."""
    head = struct.pack("<q3IB", 0x56444220, 224, 10, 0, not streamed) + b"0" * 36 + struct.pack("<Ii", 0, len(grids))
    for grid in grids:
        descriptor = _text(grid.name) + _text(grid.kind) + _text(grid.parent)
        prefix = struct.pack("<I", 2) + _metadata(grid.metadata or {}) + _transform()
        begin = len(head) + len(descriptor) + 24
        buffers = begin + len(prefix)  # where exactly matters to nobody
        body = b"" if grid.parent else grid.body
        head += descriptor + struct.pack("<3q", begin, buffers, buffers + len(body) + grid.missing) + prefix + body
    return head


def _text(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _metadata(strings: dict[bytes, bytes]) -> bytes:
    entries = b"".join(_text(name) + _text(b"string") + _text(value) for name, value in strings.items())
    return struct.pack("<I", len(strings)) + entries


def _transform() -> bytes:
    return _text(_SCALE) + struct.pack("<15d", *[1] * 15)
