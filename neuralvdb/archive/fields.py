"""Little-endian fields in sequence: the small records inside sections."""

from __future__ import annotations

import struct

from neuralvdb.errors import DamagedFile

_FORMATS = {
    "u8": struct.Struct("<B"),
    "u16": struct.Struct("<H"),
    "u32": struct.Struct("<I"),
    "u64": struct.Struct("<Q"),
    "i32": struct.Struct("<i"),
}


class FieldWriter:
    """Appends fields to a growing byte string. in_table: this will be compressed as a whole."""

    def __init__(self, *, in_table: bool = False) -> None:
        self.in_table = in_table
        self._pieces: list[bytes] = []

    def put(self, kind: str, *values: int) -> None:
        """Appends integers of one kind: u8, u16, u32, u64 or i32."""
        self._pieces += [_FORMATS[kind].pack(value) for value in values]

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

    def put_raw(self, data: bytes) -> None:
        """Appends the bytes alone."""
        self._pieces.append(data)

    def getvalue(self) -> bytes:
        """Everything appended so far."""
        return b"".join(self._pieces)


class FieldReader:
    """Takes fields from bytes; every take is checked. Raises DamagedFile, naming `where`."""

    def __init__(self, data: bytes | memoryview, where: str) -> None:
        self._data = memoryview(data).cast("B")
        self._at, self._size = 0, len(self._data)
        self._where = where

    def take(self, kind: str) -> int:
        """One integer of a kind: u8, u16, u32, u64 or i32."""
        form = _FORMATS[kind]
        return int(form.unpack(self._slice(form.size))[0])

    def take_varint(self) -> int:
        """An unsigned integer that put_varint() wrote."""
        value = shift = 0
        while self._at < self._size:
            byte: int = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise self.damaged("an integer has too many bytes")
        raise self.damaged("it ends within an integer")

    def take_bytes(self) -> memoryview:
        """A length and that many bytes, not copied."""
        return self._slice(self.take_varint())

    @property
    def left(self) -> int:
        """Bytes that are not taken yet."""
        return self._size - self._at

    def take_raw(self, count: int) -> memoryview:
        """So many bytes, not copied."""
        return self._slice(count)

    def finish(self) -> None:
        """Raises DamagedFile where bytes are left."""
        if self.left:
            raise self.damaged(f"{self.left} bytes are left over")

    def damaged(self, what: str) -> DamagedFile:
        """An error that says what is wrong here."""
        return DamagedFile(f"{self._where}: {what} (byte {self._at}); the archive is damaged, get another copy")

    def _slice(self, count: int) -> memoryview:
        begin, end = self._at, self._at + count
        if end > self._size:
            raise self.damaged(f"{count} bytes are declared but {self._size - begin} follow")
        self._at = end
        return self._data[begin:end]
