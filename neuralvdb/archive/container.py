"""The .neuralvdb container: header, sections back to back, index; of many frames all that again and again, and a
directory. Its bytes are drawn in SPEC.md."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from typing import BinaryIO

import xxhash

from neuralvdb.archive.directory import (
    MAX_FRAMES,
    Directory,
    FrameEntry,
    FrameLabel,
    check_names,
    pack_directory,
    unpack_directory,
)
from neuralvdb.archive.fields import FieldReader
from neuralvdb.archive.frame_index import checksum_of, pack_frame_index, pack_labels, take_entries, take_labels
from neuralvdb.archive.section import (
    MAX_SECTIONS,
    MAX_SHARED,
    Entry,
    Extent,
    Section,
    SectionLabel,
    check_label,
    pack_index,
    sections_in,
    unpack_index,
)
from neuralvdb.errors import DamagedFile, InputError, OutputError, Unsupported, naming, unreadable
from neuralvdb.file_kinds import ARCHIVE, HEAD, other_kind
from neuralvdb.frame_number import FrameNumber, text_of
from neuralvdb.platform import open_ordinary, read_at

MAGIC = ARCHIVE + b"\r\n\x1a\n"
MANY = 4  # major version of archives of many frames
_VERSIONS = {1: 1, MANY: 0}  # minor version that is written of each major one
_HEADER = struct.Struct("<14sHHHIIQQ")  # then the checksum of these bytes and the stored index or directory
_HEADER_SIZE = _HEADER.size + 8

Readable = Callable[[str, int, int], bool]


class SectionWriter:
    """Writes sections to `stream` (seekable, at its start), equal payloads once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sections: list[Section] = []  # of the frame that is being written
        self._firsts: dict[tuple[int, int], tuple[int, bytes]] = {}  # of it, (size, checksum): offset and hash
        self._earlier: dict[tuple[int, bytes], int] = {}  # of frames before, (size, hash): offset
        self._shared = 0
        self._closed = False
        self._write(b"\0" * _HEADER_SIZE)
        self._end = _HEADER_SIZE

    def add(self, label: SectionLabel, payload: bytes, *, raw_size: int) -> Section:
        """Appends a section; raw_size: bytes of memory that decoding takes. Raises OutputError, ValueError where the
        payload is empty, there are too many sections, the label has no place in an index, or close() was called."""
        self._check_open()
        if not payload:
            raise ValueError(f"section {label.kind} of grid {label.grid} is empty")
        if len(self.sections) == MAX_SECTIONS:
            raise ValueError(f"a frame has at most {MAX_SECTIONS} sections")
        check_label(label, raw_size)
        checksum, digest = self._checksum(payload), xxhash.xxh3_128_digest(payload)
        what = len(payload), checksum
        first = self._firsts.get(what)
        offset = first[0] if first is not None and first[1] == digest else self._earlier.get((len(payload), digest))
        shared = offset is not None and self._shared < MAX_SHARED
        if offset is None or not shared:
            offset = self._end
            self._write(payload)
            self._end += len(payload)
        self._shared += shared
        self._firsts.setdefault(what, (offset, digest))
        section = Section(
            **vars(label), offset=offset, size=len(payload), raw_size=raw_size, checksum=checksum, shared=shared
        )
        self.sections.append(section)
        return section

    def _checksum(self, payload: bytes) -> int:
        return xxhash.xxh3_64_intdigest(payload)

    def _finish(self, major: int, count: int, block: bytes) -> int:
        """Writes index or directory and the header; gives the size of the archive in bytes. Raises OutputError."""
        self._closed = True
        self._write(block)
        total = self._end + len(block)
        head = _HEADER.pack(MAGIC, major, _VERSIONS[major], 0, count, len(block), self._end, total)
        checksum = xxhash.xxh3_64_intdigest(head + block)
        self._stream.seek(0)
        self._write(head + struct.pack("<Q", checksum))
        return total

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the archive is closed")

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            name = getattr(self._stream, "name", "output")
            raise OutputError(f"{name}: cannot be written: {error.strerror}") from error


class ArchiveWriter(SectionWriter):
    """Writes an archive of one frame; close() adds header and index."""

    def close(self) -> int:
        """Writes index and header; gives the size of the archive in bytes. Raises OutputError, ValueError the second
        time."""
        self._check_open()
        return self._finish(1, len(self.sections), pack_index(self.sections))


class SequenceWriter(SectionWriter):
    """Writes an archive of many frames, groups in order of their numbers: add() the sections of a frame, then
    end_frame(); close() adds header and directory. flush() does so too, and leaves room for other frames."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._begin = self._end  # of the frame
        self._entries: list[FrameEntry] = []
        self._names: set[bytes] = set()
        self._numbers: list[FrameNumber] = []  # of the group
        self._before: list[FrameNumber] = []  # the highest one of the groups before, if any
        self._labels = b""  # of the first frame of the group

    def end_frame(self, label: FrameLabel) -> int:
        """Ends a frame; gives the bytes that are only its own. Raises OutputError, ValueError where no frame can be
        called so after those that are there, or close() was called."""
        self._check_open()
        self._check_label(label)
        first = self._labels if label.behind else None
        index = pack_frame_index(self.sections, self._begin, first)
        if first is None:
            self._labels = pack_labels(self.sections, self._begin)
        self._write(index)
        extent = Extent(self._begin, self._end, len(index), len(self.sections))
        self._entries.append(FrameEntry(label, extent, xxhash.xxh3_64_intdigest(index)))
        for (size, _), (offset, digest) in self._firsts.items():
            self._earlier.setdefault((size, digest), offset)
        self._end += len(index)
        self._begin, self._shared = self._end, 0
        self.sections, self._firsts = [], {}
        self._names.add(label.name)
        if not label.behind and self._numbers:
            self._before, self._numbers = [max(self._numbers)], []
        self._numbers.append(label.number)
        return extent.total

    def _check_label(self, label: FrameLabel) -> None:
        check_names([label.name])
        before = self._before if label.behind else [*self._before, *self._numbers]
        grows = label.number > max(before, default=label.number - 1)
        if label.name in self._names or label.number in self._numbers or not grows:
            raise ValueError(f"frame {text_of(label.number)}: numbers of frames grow, and each has a name of its own")
        if len(self._entries) == MAX_FRAMES or not 0 <= label.source_size < 1 << 64:
            raise ValueError(f"there are at most {MAX_FRAMES} frames, and sizes of 64 bits")

    def flush(self) -> None:
        """Makes the file an archive of the frames that have ended, which can be read; the next one takes the place of
        its directory. Raises what close() raises."""
        self.close()
        self._closed = False
        self._stream.flush()
        self._stream.seek(self._end)

    def close(self) -> int:
        """Writes directory and header; gives the size of the archive in bytes. Raises OutputError, ValueError where
        there is no frame, the last one was not ended, or the second time."""
        self._check_open()
        if self.sections or not self._entries:
            raise ValueError("an archive of many frames has whole frames, and at least one")
        size = self._finish(MANY, len(self._entries), pack_directory(self._entries))
        self._stream.truncate(size)  # a directory that flush() wrote may have ended behind this one
        return size

    def _checksum(self, payload: bytes) -> int:
        return checksum_of(payload)


class SectionReader:
    """Reads sections of a file at `path`, which may still be written to. Raises InputError where it cannot be opened.
    Threads may read at the same time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.directory: Directory | None = None
        """The frames; None where there is one that has no number."""
        try:
            self._file = open_ordinary(self.path)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def read(self, section: Section) -> bytes:
        """The payload of a section, its checksum checked. Raises DamagedFile."""
        data = self._read_at(section.offset, section.size)
        checksum = xxhash.xxh3_64_intdigest(data) if self.directory is None else checksum_of(data)
        if checksum != section.checksum:
            raise self._damaged(f"checksum of section {section.kind} at byte {section.offset} does not match")
        return data

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read_at(self, offset: int, size: int) -> bytes:
        try:
            data = read_at(self._file, offset, size)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read at byte {offset}: {error.strerror}") from error
        if len(data) != size:
            raise self._damaged(f"it ends early, at byte {offset + len(data)}")
        return data

    def _damaged(self, what: str) -> DamagedFile:
        return DamagedFile(f"{self.path}: damaged or not an archive: {what}; get another copy")


class ArchiveReader(SectionReader):
    """An archive's frames, and their sections on demand.

    Raises InputError where the file cannot be opened, DamagedFile where its bytes break the format,
    Unsupported where a newer version or an unknown required section is needed. Threads may read at the same time.
    """

    def __init__(self, path: str | os.PathLike[str], is_readable: Readable) -> None:
        super().__init__(path)
        self._is_readable = is_readable
        self._first = (-1, b"")  # position and labels of the group's first frame that was read last
        try:
            self.read_head()
        except BaseException:
            self.close()
            raise

    def sections_of(self, position: int) -> list[Section]:
        """The sections of a frame in their order; unknown optional ones are left out. Raises DamagedFile."""
        if self.directory is None:
            return self.sections
        extent = self.directory.entry(position).extent
        begin, first, source = self.directory.group(position).start, None, self._index(self.directory, position)
        if position != begin:
            at, first = self._first
            if at != begin:
                count = self.directory.entry(begin).extent.count
                first = take_labels(self._index(self.directory, begin), count, None)
                self._first = begin, first
        labels = take_labels(source, extent.count, first)
        return self._readable(list(take_entries(source, labels)), extent)

    def check(self, position: int = 0) -> None:
        """Reads all sections of a frame, equal ones once. Raises DamagedFile where a checksum does not match."""
        for section in {section.offset: section for section in self.sections_of(position)}.values():
            self.read(section)

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_head(self) -> None:
        """Reads the header, and the index or the directory; once more where a SequenceWriter has added frames.

        Raises what the class raises.
        """
        self.size = os.fstat(self._file.fileno()).st_size
        kind = other_kind(self._read_at(0, min(self.size, HEAD)), ARCHIVE)
        if kind is not None:
            raise DamagedFile(f"{self.path}: damaged or not an archive: {kind}")
        if self.size < _HEADER_SIZE:
            raise self._damaged(f"it has {self.size} bytes, too few for an archive")
        head = self._read_at(0, _HEADER_SIZE)
        magic, major, _minor, _flags, count, size, at, total = _HEADER.unpack_from(head)
        if magic != MAGIC:
            raise self._damaged("it does not begin like a .neuralvdb archive")
        if major not in _VERSIONS:
            raise Unsupported(f"{self.path}: archive version {major} is not 1 or {MANY}; upgrade neuralvdb")
        if total != self.size or at < _HEADER_SIZE or at + size != total:
            raise self._damaged(f"it should have {total} bytes but has {self.size}")
        block = self._read_at(at, size)
        if struct.pack("<Q", xxhash.xxh3_64_intdigest(head[: _HEADER.size] + block)) != head[_HEADER.size :]:
            raise self._damaged(f"checksum of header and {'directory' if major == MANY else 'index'} does not match")
        if major == MANY:
            with naming(self.path):
                self.directory = unpack_directory(block, count, _HEADER_SIZE, at)
            self.sections: list[Section] = []
            return
        extent = Extent(_HEADER_SIZE, at, size, count)
        try:
            self.sections = self._readable(unpack_index(block, extent), extent)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _index(self, directory: Directory, position: int) -> FieldReader:
        """The index of a frame. Raises DamagedFile."""
        entry = directory.entry(position)
        index = self._read_at(entry.extent.at, entry.extent.size)
        if xxhash.xxh3_64_intdigest(index) != entry.checksum:
            raise self._damaged(f"checksum of the index of {directory.words(position)} does not match")
        return FieldReader(index, f"{self.path}: index of {directory.words(position)}")

    def _readable(self, entries: Iterable[Entry], extent: Extent) -> list[Section]:
        """The sections of a frame that this version knows."""
        try:
            return [section for section in sections_in(entries, extent, _HEADER_SIZE) if self._usable(section)]
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _usable(self, section: Section) -> bool:
        if self._is_readable(section.kind, section.codec, section.version):
            return True
        if section.required:
            raise Unsupported(
                f"{self.path}: needs section {section.kind} with codec {section.codec} version {section.version}, "
                "which this version does not know; upgrade neuralvdb"
            )
        return False
