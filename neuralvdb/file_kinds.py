"""What a file is that is not what it should be, told by its first bytes."""

from __future__ import annotations

HEAD = 64
"""Bytes that are enough to know."""
ARCHIVE, VDB = b"\x89neuralvdb", b" BDV\0\0\0\0"
"""How ours begin."""
MANY_FRAMES = ARCHIVE + b"\r\n\x1a\n\x04\0"
"""How an archive of many frames does."""
_KINDS = (  # how a file begins, what it is then and what to do
    (ARCHIVE, "it is an archive already; nvdb decompress gives the .vdb file"),
    (VDB, "it is a .vdb file; nvdb compress makes an archive of it"),
    (b"NanoVDB", "it is a NanoVDB file; convert it with nanovdb_convert first"),
    (b"version https://git-lfs", "it is a pointer of Git LFS; fetch the file itself with git lfs pull"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd; unpack it first"),
    (b"PK\x03\x04", "it is a zip archive; unpack it first"),
)


def other_kind(head: bytes, expected: bytes) -> str | None:
    """What a file is that begins with `head`, and what to do; None where nobody knows, or if it is as `expected`."""
    return next((text for magic, text in _KINDS if magic != expected and head.startswith(magic)), None)
