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
_MOST_WAITING = 5  # frames of a group of any writer
_BACK = MAX_BEHIND + 1  # more than the distance of any two of them
_SUFFIX = b".vdb"
_COLUMNS: tuple[np.dtype, ...] = tuple(map(np.dtype, ("<u8", "<u4", "<u4", "<u8", "<u8", "<u2")))


@dataclass(frozen=True)
class FrameLabel:
    """What a frame is called."""

    number: FrameNumber
    name: bytes
    """Of its .vdb file, without a folder."""
    source_size: int
    """Bytes of that file."""
    behind: int = 0
    """Frames of its group before it in the file, those next to it."""
    back: tuple[int, int] = (0, 0)
    """How far back in the file the two frames are that it is coded from; 0 where there is none."""


@dataclass(frozen=True)
class FrameEntry:
    """A frame in a file."""

    label: FrameLabel
    extent: Extent
    checksum: int
    """XXH3-64 of its index."""


class Directory:
    """The frames of a file: `numbers` in order, and by position in the file what entry() gives."""

    def __init__(self, labels: _Labels, columns: Sequence[np.ndarray], groups: _Groups, begin: int) -> None:
        """begin: byte of the file at which the first frame does. columns: as _COLUMNS has them, but the last one."""
        self._labels, self._groups = labels, groups
        self._sizes, self._index_sizes, self._counts, self._checksums, self._source_sizes = columns
        self._ends = begin + np.cumsum(self._sizes, dtype=np.int64)
        self._positions = sorted(range(len(labels.numbers)), key=labels.numbers.__getitem__)  # by number
        self.numbers = [labels.numbers[position] for position in self._positions]

    def __len__(self) -> int:
        return len(self.numbers)

    def entry(self, position: int) -> FrameEntry:
        """The frame at a position."""
        end, size = int(self._ends[position]), int(self._index_sizes[position])
        begin = end - int(self._sizes[position])
        return FrameEntry(
            label=FrameLabel(
                self._labels.numbers[position],
                self._labels.names[position],
                int(self._source_sizes[position]),
                int(self._groups.behind[position]),
                self.back(position),
            ),
            extent=Extent(begin=begin, at=end - size, size=size, count=int(self._counts[position])),
            checksum=int(self._checksums[position]),
        )

    def group(self, position: int) -> range:
        """The positions of the frames that may be coded from each other, among which a frame is."""
        begin = position - int(self._groups.behind[position])
        end = position + 1
        while end < len(self) and self._groups.behind[end]:
            end += 1
        return range(begin, end)

    def back(self, position: int) -> tuple[int, int]:
        """How far back the frames are that a frame is coded from, as FrameLabel has it."""
        first, second = self._groups.back[position]
        return int(first), int(second)

    def needs(self, position: int) -> list[int]:
        """The positions of the frames that decoding a frame needs, in order: the first one of its group, all that it is
        coded from, itself."""
        first = position - int(self._groups.behind[position])
        needed = {first, position}
        for at in range(position, first, -1):
            if at in needed:
                needed |= {at - back for back in self.back(at)}
        return sorted(needed)

    def is_needed(self, position: int) -> bool:
        """Whether another frame is coded from a frame."""
        later = range(position + 1, self.group(position).stop)
        return any(at - back == position for at in later for back in self.back(at))

    def waiting(self, position: int) -> int:
        """How many frames of the group of a frame have to be there at a time where each is decoded once in the order of
        the file: one, and those that it and later ones are coded from; no more than any writer's."""
        group, most = self.group(position), 1
        for at in group:
            later = {back for i in range(at, group.stop) for back in (i - d for d in self.back(i) if d) if back < at}
            most = max(most, 1 + len(later))
        return min(most, _MOST_WAITING)

    def number(self, position: int) -> FrameNumber:
        """Of a frame."""
        return self._labels.numbers[position]

    def words(self, position: int) -> str:
        """What errors call a frame."""
        return f"frame {text_of(self.number(position))}"

    def find(self, number: FrameNumber) -> int | None:
        """The position of a frame, None where there is none of that number."""
        at = bisect.bisect_left(self.numbers, number)
        return self._positions[at] if self.numbers[at : at + 1] == [number] else None


def pack_directory(entries: Sequence[FrameEntry]) -> bytes:
    """The directory of frames that lie one after the other."""
    columns: list[list[int]] = [
        [e.extent.total for e in entries],
        [e.extent.size for e in entries],
        [e.extent.count for e in entries],
        [e.checksum for e in entries],
        [e.label.source_size for e in entries],
        [_packed_group(e.label) for e in entries],
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
    try:
        groups = _Groups.of(columns.pop())
        return Directory(_Labels.of(texts, groups), columns, groups, begin)
    except ValueError as error:
        raise source.damaged(str(error)) from error


def _packed_group(label: FrameLabel) -> int:
    """What the directory has of the group of a frame."""
    first, second = label.back
    return label.behind + _BACK * first + _BACK**2 * second


@dataclass(frozen=True)
class _Groups:
    """Of all frames of a file what FrameLabel has: behind, (N,) int64, and back, (N, 2)."""

    behind: np.ndarray
    back: np.ndarray

    @classmethod
    def of(cls, packed: np.ndarray) -> _Groups:
        """What is in a column of a directory. Raises ValueError where frames are in no groups, or coded from others
        than earlier ones of their group."""
        packed_back, behind = np.divmod(packed.astype(np.int64), _BACK)
        second, first = np.divmod(packed_back, _BACK)
        if ((behind != 0) & (behind != np.append(-1, behind[:-1]) + 1)).any():
            raise ValueError("its frames are in no groups")
        if (np.maximum(first, second) > behind).any() or ((first == second) & (first != 0)).any():
            raise ValueError("frames are coded from others than two earlier ones of their group")
        return cls(behind, np.stack([first, second], axis=1))


@dataclass(frozen=True)
class _Labels:
    """What all frames are called, in the order of the file."""

    numbers: list[FrameNumber]
    names: list[bytes]

    @classmethod
    def of(cls, texts: bytes, groups: _Groups) -> _Labels:
        """The labels in the texts of a directory. Raises ValueError where they break the format."""
        fields, count = texts.split(b"\0"), len(groups.behind)
        if len(fields) != 2 * count + 1 or fields.pop():
            raise ValueError(f"there are no {count} numbers and names")
        numbers, names = [_canonical(text) for text in fields[::2]], fields[1::2]
        begins = [*np.flatnonzero(groups.behind == 0).tolist(), count]
        in_order = [number for a, b in itertools.pairwise(begins) for number in sorted(numbers[a:b])]
        if any(a >= b for a, b in itertools.pairwise(in_order)):
            raise ValueError("the numbers of frames do not grow from group to group")
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
