"""How much memory the grids of a file need, known before they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuralvdb.errors import NeuralVdbError, unreadable
from neuralvdb.frame_number import FrameNumber
from neuralvdb.platform import file_state, written_bytes
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.codec.frame import Frame

# What a .vdb file can need: an upper node of vec3d takes 8.2 kB on disk when compressed and 0.8 MB in memory.
_MEMORY_PER_BYTE = 128
_OF_GROUP = 2  # times what a frame takes, for each of those that are there at a time, which may be somewhat larger
_PER_ARCHIVE_BYTE = 512  # what an archive needs as a rule; its index says it exactly


def memory_needed(path: str, grids: Sequence[str] = (), number: FrameNumber | None = None) -> int:
    """Bytes that the grids with these names take when decoded, all grids where there are no names, with what they are
    decoded from; number: of the frame, as FrameReader has it.

    Raises InputError, DamagedFile, Unsupported, NoSuchGrid, UsageError.
    """
    from neuralvdb.codec.frame import FrameReader  # which takes time

    with FrameReader(path, number) as frame:
        return memory_of(frame, grids)


def memory_of_each(path: str, grids: Sequence[str], numbers: Sequence[FrameNumber | None]) -> list[int]:
    """What memory_needed() says of each frame; 0 of those that cannot be read: who decodes them says why. Raises what
    it raises where there is one frame."""
    if len(numbers) == 1:
        return [memory_needed(path, grids, numbers[0])]
    needed = [0] * len(numbers)
    for position, number in enumerate(numbers):
        with contextlib.suppress(NeuralVdbError):
            needed[position] = memory_needed(path, grids, number)
    return needed


def memory_of(frame: Frame, grids: Sequence[str]) -> int:
    """What memory_needed() says of a frame. Raises NoSuchGrid."""
    from neuralvdb.api.source import select

    total = sum(map(frame.index.memory, select(frame.grids, grids, frame.archive.path)))
    directory = frame.archive.directory
    if directory is None or len(frame.index.needs) == 1:
        return total
    return _OF_GROUP * directory.waiting(frame.position) * total


def most_memory(path: str) -> int:
    """Bytes that a .vdb file of the size of this one, holes aside, can need in memory, at most. Raises InputError."""
    try:
        return _MEMORY_PER_BYTE * written_bytes(path)
    except OSError as error:
        raise unreadable(path, error) from error


def likely_memory(path: str, size: int | None = None) -> int:
    """Bytes that a .vdb file or an archive can need as a rule, by its size alone; 0 where it is not there.

    size: of the frame of an archive of many.
    """
    if size is None:
        size, _ = file_state(path) or (0, 0)
    return size * (_PER_ARCHIVE_BYTE if path.endswith(ARCHIVE_SUFFIX) else _MEMORY_PER_BYTE)


def file_size(path: str) -> int:
    """Bytes on disk. Raises InputError."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise unreadable(path, error) from error
