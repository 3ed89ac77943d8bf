"""The directory of an archive of many frames: number, name and extent of each. Its bytes are drawn in SPEC.md."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import numpy as np

from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.section import Extent
from neuralvdb.archive.streams import put_array, take_array
from neuralvdb.dataclass import dataclass
from neuralvdb.frame_number import FrameNumber, number_of, text_of

MAX_FRAMES = 1 << 20
MAX_TEXTS = 1 << 26  # bytes of all numbers and names
MAX_NAME = 255  # bytes
MAX_BEHIND = 31  # frames of a group before one of them
_SUFFIX = b".vdb"
_COLUMNS: tuple[np.dtype, ...] = tuple(map(np.dtype, ("<u8", "<u4", "<u4", "<u8", "<u8", "u1")))


@dataclass(frozen=True)
class FrameLabel:
    """What a frame is called."""

    number: FrameNumber
    name: bytes
    """Of its .vdb file, without a folder."""
    source_size: int
    """Bytes of that file."""
    behind: int = 0
    """Frames of its group before it, which it may be coded from: those next to it in the file."""


@dataclass(frozen=True)
class FrameEntry:
    """A frame in a file."""

    label: FrameLabel
    extent: Extent
    checksum: int
    """XXH3-64 of its index."""


class Directory:
    """The frames of a file, in order of their numbers: `numbers`, and by position what entry() gives."""

    def __init__(self, labels: _Labels, columns: Sequence[np.ndarray], begin: int) -> None:
        """begin: byte of the file at which the first frame does. columns: as _COLUMNS has them."""
        self.numbers, self._names = labels.numbers, labels.names
        self._sizes, self._index_sizes, self._counts, self._checksums, self._source_sizes, self._behind = columns
        self._ends = begin + np.cumsum(self._sizes, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.numbers)

    def entry(self, position: int) -> FrameEntry:
        """The frame at a position."""
        end, size = int(self._ends[position]), int(self._index_sizes[position])
        begin = end - int(self._sizes[position])
        return FrameEntry(
            label=FrameLabel(
                self.numbers[position],
                self._names[position],
                int(self._source_sizes[position]),
                int(self._behind[position]),
            ),
            extent=Extent(begin=begin, at=end - size, size=size, count=int(self._counts[position])),
            checksum=int(self._checksums[position]),
        )

    def group(self, position: int) -> range:
        """The positions of the frames that may be coded from each other, among which a frame is."""
        begin = position - int(self._behind[position])
        end = position + 1
        while end < len(self) and self._behind[end]:
            end += 1
        return range(begin, end)

    def words(self, position: int) -> str:
        """What errors call a frame."""
        return f"frame {text_of(self.numbers[position])}"

    def find(self, number: FrameNumber) -> int | None:
        """The position of a frame, None where there is none of that number."""
        position = bisect.bisect_left(self.numbers, number)
        return position if self.numbers[position : position + 1] == [number] else None


def pack_directory(entries: Sequence[FrameEntry]) -> bytes:
    """The directory of frames that lie one after the other."""
    columns: list[list[int]] = [
        [e.extent.total for e in entries],
        [e.extent.size for e in entries],
        [e.extent.count for e in entries],
        [e.checksum for e in entries],
        [e.label.source_size for e in entries],
        [e.label.behind for e in entries],
    ]
    out = FieldWriter()
    for column, dtype in zip(columns, _COLUMNS, strict=True):
        put_array(out, np.array(column, dtype))
    texts = b"".join(b"%s\0%s\0" % (text_of(e.label.number).encode(), e.label.name) for e in entries)
    out.put_varint(len(texts))
    put_array(out, np.frombuffer(texts, np.uint8))
    return out.getvalue()


def unpack_directory(data: bytes, count: int, begin: int, end: int) -> Directory:
    """The directory of `count` frames that lie from byte `begin` of a file to byte `end`.

    Raises DamagedFile, which does not name the file.
    """
    source = FieldReader(data, "its directory")
    if not 0 < count <= MAX_FRAMES:
        raise source.damaged(f"{count} frames are declared, 1 to {MAX_FRAMES} are possible")
    columns = [take_array(source, dtype, count) for dtype in _COLUMNS]
    size = source.take_varint()
    if size > MAX_TEXTS:
        raise source.damaged(f"numbers and names of {size} bytes are declared, {MAX_TEXTS} are possible")
    texts = take_array(source, np.dtype(np.uint8), size).tobytes()
    source.finish()
    sizes, index_sizes = columns[0], columns[1]
    if (sizes > end - begin).any() or (index_sizes > sizes).any() or begin + int(sizes.sum()) != end:
        raise source.damaged("its frames do not fill the file")
    behind = columns[-1].astype(np.int64)
    if behind.max() > MAX_BEHIND or ((behind != 0) & (behind != np.append(-1, behind[:-1]) + 1)).any():
        raise source.damaged("its frames are in no groups")
    try:
        return Directory(_Labels.of(texts, count), columns, begin)
    except ValueError as error:
        raise source.damaged(str(error)) from error


@dataclass(frozen=True)
class _Labels:
    """What all frames are called."""

    numbers: list[FrameNumber]
    names: list[bytes]

    @classmethod
    def of(cls, texts: bytes, count: int) -> _Labels:
        """The labels in the texts of a directory. Raises ValueError where they break the format."""
        fields = texts.split(b"\0")
        if len(fields) != 2 * count + 1 or fields.pop():
            raise ValueError(f"there are no {count} numbers and names")
        numbers, names = [_canonical(text) for text in fields[::2]], fields[1::2]
        if any(a >= b for a, b in itertools.pairwise(numbers)):
            raise ValueError("the numbers of frames do not grow")
        check_names(names)
        return cls(numbers, names)


def check_names(names: Sequence[bytes]) -> None:
    """Raises ValueError where a name is none for the file of a frame, or two are the same."""
    for name in names:
        if len(name) > MAX_NAME or not name.endswith(_SUFFIX) or {*b"/\0"} & {*name} or name.startswith(b"."):
            raise ValueError(f"{name!r} is no name for the file of a frame")
    if len(set(names)) != len(names):
        raise ValueError("two frames have the same name")


def _canonical(text: bytes) -> FrameNumber:
    """The number that text_of() wrote. Raises ValueError for any other text."""
    number = number_of(text.decode("ascii", "replace"))
    if text_of(number).encode() != text:
        raise ValueError(f"{text!r} is no number of a frame")
    return number
