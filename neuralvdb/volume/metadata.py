"""Metadata of a grid, read without OpenVDB.

OpenVDB serialises it as a count and so many entries: name, type and value, each a u32 length and so many bytes. The
value of type "string" is its text.
"""

from __future__ import annotations

import functools
import struct

from neuralvdb.errors import DamagedFile


@functools.lru_cache(maxsize=64)  # it is asked for again and again
def string_value(metadata: bytes, name: str) -> str | None:
    """The string of a name, None where there is none of type string. Raises DamagedFile where an entry is cut off."""
    source = _Reader(metadata)
    value = None
    for _ in range(source.take_count()):
        entry_name, kind, content = source.take_bytes(), source.take_bytes(), source.take_bytes()
        if entry_name == name.encode():
            value = content.decode("utf-8", "backslashreplace") if kind == b"string" else None
    return value


class _Reader:
    """Takes lengths and bytes from the front of serialised metadata."""

    def __init__(self, metadata: bytes) -> None:
        self._metadata, self._at = metadata, 0

    def take_count(self) -> int:
        """A u32."""
        return int(struct.unpack("<I", self._slice(4))[0])

    def take_bytes(self) -> bytes:
        """A length and so many bytes."""
        return self._slice(self.take_count())

    def _slice(self, size: int) -> bytes:
        entry = self._metadata[self._at : self._at + size]
        if len(entry) != size:
            raise DamagedFile(
                f"metadata cannot be read: it ends at byte {len(self._metadata)}, inside of an entry; get another copy"
            )
        self._at += size
        return entry
