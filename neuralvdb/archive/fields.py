"""Little-endian fields in sequence: the small records inside sections."""

from __future__ import annotations

import struct

from neuralvdb.errors import DamagedFile

_FORMATS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i32": "<i"}


class FieldWriter:
    """Appends fields to a growing byte string."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def put(self, kind: str, *values: int) -> None:
        """Appends integers of one kind: u8, u16, u32, u64 or i32."""
        self._pieces += [struct.pack(_FORMATS[kind], value) for value in values]

    def put_varint(self, value: int) -> None:
        """Appends an unsigned integer in 1 to 10 bytes, 7 bits each, lowest first (LEB128)."""
        while value >= 0x80:
            self._pieces.append(bytes([value & 0x7F | 0x80]))
            value >>= 7
        self._pieces.append(bytes([value]))

    def put_bytes(self, data: bytes) -> None:
        """Appends a varint length and the bytes."""
        self.put_varint(len(data))
        self._pieces.append(data)

    def getvalue(self) -> bytes:
        """Everything appended so far."""
        return b"".join(self._pieces)


class FieldReader:
    """Takes fields from bytes; every take is checked. Raises DamagedFile, naming `where`."""

    def __init__(self, data: bytes | memoryview, where: str) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._where = where

    def take(self, kind: str) -> int:
        """One integer of a kind: u8, u16, u32, u64 or i32."""
        form = _FORMATS[kind]
        return int(struct.unpack(form, self._slice(struct.calcsize(form)))[0])

    def take_varint(self) -> int:
        """An unsigned integer that put_varint() wrote."""
        value = shift = 0
        while True:
            byte = self.take("u8")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise self.damaged("an integer has too many bytes")

    def take_bytes(self) -> memoryview:
        """A length and that many bytes, not copied."""
        return self._slice(self.take_varint())

    def finish(self) -> None:
        """Raises DamagedFile where bytes are left."""
        if self._at != len(self._data):
            raise self.damaged(f"{len(self._data) - self._at} bytes are left over")

    def damaged(self, what: str) -> DamagedFile:
        """An error that says what is wrong here."""
        return DamagedFile(f"{self._where}: {what} (byte {self._at}); the archive is damaged, get another copy")

    def _slice(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise self.damaged(f"{count} bytes are declared but {len(self._data) - self._at} follow")
        self._at += count
        return self._data[self._at - count : self._at]
