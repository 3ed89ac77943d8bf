"""Files to read from, .vdb or archive, told apart by their first bytes."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from typing import Protocol

from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.container import MAGIC
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import Frame, OpenFrames, position_of
from neuralvdb.codec.models import models_for
from neuralvdb.devices import Devices
from neuralvdb.errors import NoSuchGrid, naming, unreadable
from neuralvdb.frame_number import FrameNumber
from neuralvdb.platform import open_ordinary
from neuralvdb.settings import DecompressSettings, ReadSettings, VerifySettings
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import display_name

_SHOWN = 30  # names in a message


class NamedGrid(Protocol):
    """A grid by the two names that decide whether it is selected."""

    @property
    def unique_name(self) -> bytes:
        """The name that no other grid of the file has."""

    @property
    def parent(self) -> bytes:
        """The unique name of the grid whose tree it shares; empty where it has its own."""


def is_archive(path: str) -> bool:
    """Whether the file begins like an archive. Raises InputError where it cannot be read, or is no ordinary file."""
    try:
        with open_ordinary(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise unreadable(path, error) from error


def open_frames(path: str, settings: DecompressSettings | VerifySettings) -> OpenFrames:
    """The frames of an archive. Raises InputError, DamagedFile, Unsupported, NoSuchDevice."""
    models, gpus = models_for(settings), Devices(settings.device)
    return OpenFrames(ArchiveReader(path, is_readable), models=models, devices=gpus)


class OpenFiles:
    """Files to read, .vdb or archives. Archives stay open from frame to frame, so that what one needs of the frame
    before is decoded once. A context manager: it closes them.

    settings: threads that decode a grid, and the file of networks that archives may need.
    """

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        self._archives: dict[str, OpenFrames] = {}  # by path

    def __enter__(self) -> OpenFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for frames in self._archives.values():
            frames.close()

    def source(self, path: str | os.PathLike[str], frame: FrameNumber | None = None) -> GridSource:
        """The grids of a file; frame: of an archive of many, and of others it does not matter. Raises InputError,
        DamagedFile, Unsupported, UsageError."""
        path = os.fspath(path)
        if path not in self._archives:
            if not is_archive(path):
                return GridSource(path, VdbReader(path), self._settings.threads)
            archive = ArchiveReader(path, is_readable)
            self._archives[path] = OpenFrames(archive, models=models_for(self._settings))
        frames = self._archives[path]
        return GridSource(path, frames.at(position_of(frames.archive, frame)), self._settings.threads)


class GridSource:
    """The grids of a .vdb file or of a frame of an archive, read on demand by so many threads."""

    def __init__(self, path: str, reader: Frame | VdbReader, threads: int) -> None:
        self.path, self._reader, self._threads = path, reader, threads

    @property
    def metadata(self) -> bytes:
        """File-level metadata, OpenVDB's bytes."""
        return self._reader.table.metadata if isinstance(self._reader, Frame) else self._reader.metadata

    @property
    def grids(self) -> Sequence[NamedGrid]:
        """The grids' names."""
        return self._reader.table.grids if isinstance(self._reader, Frame) else self._reader.entries

    def prepare(self, indices: Sequence[int]) -> None:
        """Decodes what these grids need of other frames, once for all of them. Raises what read() does."""
        if isinstance(self._reader, Frame):
            with naming(self.path):
                self._reader.before.prepare(indices, self._threads)

    def read(self, index: int) -> VolumeGrid:
        """The grid number `index`. Raises DamagedFile, Unsupported, MissingPriors, OutOfMemory, PromiseBroken."""
        with naming(self.path):
            if isinstance(self._reader, Frame):
                return self._reader.read(index, threads=self._threads)
            return self._reader.read(index)


def select(grids: Sequence[NamedGrid], names: Sequence[str], path: str) -> list[int]:
    """Indices of the grids called one of `names`, all where there are none.

    Raises NoSuchGrid for a name that no grid has, and where a selected grid shares the tree of one that
    is not selected.
    """
    if not names:
        return list(range(len(grids)))
    selected = sorted({index for name in names for index in _called(grids, name, path)})
    unique_names = {grids[i].unique_name for i in selected}
    for i in selected:
        if grids[i].parent and grids[i].parent not in unique_names:
            name, parent = display_name(grids[i].unique_name), display_name(grids[i].parent)
            raise NoSuchGrid(f"{path}: grid '{name}' shares the tree of '{parent}'; select that too")
    return selected


def without(grids: Sequence[NamedGrid], selected: Sequence[int], patterns: Sequence[str]) -> list[int]:
    """Those of the `selected` grids that no pattern names, and those whose tree one of them shares."""
    named = {i for i in selected if _is_named(grids[i].unique_name, patterns)}
    parents = {grids[i].parent for i in selected if i not in named}
    return [i for i in selected if i not in named or grids[i].unique_name in parents]


def _is_named(unique_name: bytes, patterns: Sequence[str]) -> bool:
    """Whether a pattern is, or matches, the name with its number or without."""
    names = (display_name(unique_name), _base(unique_name))
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def check_names(grids: Sequence[NamedGrid], names: Sequence[str], path: str) -> None:
    """Raises NoSuchGrid for a name that no grid has."""
    for name in names:
        _called(grids, name, path)


def _called(grids: Sequence[NamedGrid], name: str, path: str) -> list[int]:
    """Indices of the grids of that name, with or without their number. Raises NoSuchGrid where there are none."""
    numbers = [i for i, grid in enumerate(grids) if name in (display_name(grid.unique_name), _base(grid.unique_name))]
    if not numbers:
        names = [display_name(grid.unique_name) for grid in grids]
        hint = "".join(f", perhaps '{similar}' is meant" for similar in _similar(name, names))
        shown = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        raise NoSuchGrid(f"{path}: has no grid '{name}'{hint}; it has: {shown or 'none'}")
    return numbers


def _base(unique_name: bytes) -> str:
    return unique_name.partition(b"\x1e")[0].decode("utf-8", "backslashreplace")


def _similar(name: str, names: Sequence[str]) -> list[str]:
    """The name most like another one, capitals aside; nothing where none is."""
    import difflib  # which takes time

    by_small_letters = {candidate.lower(): candidate for candidate in names}
    return [by_small_letters[match] for match in difflib.get_close_matches(name.lower(), by_small_letters, n=1)]
