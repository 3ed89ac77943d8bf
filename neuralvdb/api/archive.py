"""An open archive: its frames by their numbers, the grids of each by their names."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from neuralvdb.api.source import select
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import Frame, OpenFrames, position_of
from neuralvdb.codec.models import models_for
from neuralvdb.errors import NoSuchGrid, UsageError, naming
from neuralvdb.frame_number import FrameNumber, number_in
from neuralvdb.settings import VDB_SUFFIX, Box, Settings
from neuralvdb.typed import fits
from neuralvdb.volume import VolumeGrid


class ArchiveFrame(Mapping[str, VolumeGrid]):
    """A frame of an open archive: its grids by name, each decoded when it is first looked up and kept with the frame.

    number: of the frame. name: of the .vdb file that it was.
    """

    def __init__(self, frame: Frame, number: FrameNumber, name: str, threads: int) -> None:
        self.number, self.name = number, name
        self._frame, self._threads, self._lock = frame, threads, threading.Lock()
        self._grids: dict[int, VolumeGrid] = {}

    def __getitem__(self, name: str) -> VolumeGrid:
        """The first grid of that name. Raises KeyError, and what read() raises."""
        try:
            (index, *_) = select(self._frame.grids, [name], self._frame.path)
        except NoSuchGrid as error:
            raise KeyError(str(error)) from error
        with self._lock:
            if index not in self._grids:
                self._grids[index] = self._read(index, None, 0)
            return self._grids[index]

    def __iter__(self) -> Iterator[str]:
        return iter([head.name for head in self._frame.grids])

    def __len__(self) -> int:
        return len(self._frame.grids)

    def read(self, name: str, *, box: Box | None = None, lod: int = 0) -> VolumeGrid:
        """What of the first grid of that name lies in the box, or a coarser grid; it is not kept. Raises NoSuchGrid,
        DamagedFile, MissingPriors, OutOfMemory, PromiseBroken."""
        (index, *_) = select(self._frame.grids, [name], self._frame.path)
        return self._read(index, box, lod)

    def _read(self, index: int, box: Box | None, lod: int) -> VolumeGrid:
        with naming(self._frame.path):
            return self._frame.read(index, box, lod, self._threads)


class Archive:
    """An archive that stays open until close(), or to the end of a `with` block. Threads may use it at the same time.

    settings: threads and priors. keep: how many frames, those used last, keep their decoded grids. Raises UsageError,
    InputError, DamagedFile, Unsupported.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Settings, keep: int) -> None:
        if not fits(keep, int) or keep < 0:
            raise UsageError(f"{keep!r} frames cannot be kept; give a whole number, 0 or more")
        self._settings, self._keep, self._lock = settings, keep, threading.Lock()
        models = models_for(settings)
        self._kept: dict[int, ArchiveFrame] = {}  # by position, in the order of their last use
        self._reader = ArchiveReader(path, is_readable)
        self._frames = OpenFrames(self._reader, models=models)

    @property
    def frames(self) -> tuple[FrameNumber, ...]:
        """The numbers of all frames in order. An archive of one frame has that of its name, else 0."""
        directory = self._reader.directory
        if directory is None:
            return (number_in(Path(self._reader.path).stem) or 0,)
        return tuple(directory.numbers)

    def __getitem__(self, number: FrameNumber) -> ArchiveFrame:
        """The frame of a number, such as 57 or Decimal("1001.25"). Raises KeyError, and what reading raises."""
        if number not in self.frames:
            raise KeyError(number)
        position = position_of(self._reader, number)
        with self._lock:
            frame = self._kept.pop(position, None) or self._open(position, number)
            self._kept[position] = frame
            while len(self._kept) > self._keep:
                del self._kept[next(iter(self._kept))]
        return frame

    def __iter__(self) -> Iterator[ArchiveFrame]:
        return map(self.__getitem__, self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __contains__(self, number: object) -> bool:
        return number in self.frames

    def close(self) -> None:
        """Closes the file; grids that were read stay."""
        self._frames.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, position: int, number: FrameNumber) -> ArchiveFrame:
        directory = self._reader.directory
        name = Path(self._reader.path).stem + VDB_SUFFIX
        if directory is not None:
            name = os.fsdecode(directory.entry(position).label.name)
        return ArchiveFrame(self._frames.at(position), number, name, self._settings.threads)
