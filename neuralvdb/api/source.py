"""Files to read from, .vdb or archive, told apart by their first bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from neuralvdb.archive.container import MAGIC
from neuralvdb.codec.decode import FrameReader
from neuralvdb.errors import InputError, NoSuchGrid
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.grid import display_name


class Named(Protocol):
    """Anything with the two names that decide whether a grid is selected."""

    unique_name: bytes
    parent: bytes


def is_archive(path: str) -> bool:
    """Whether the file begins like an archive. Raises InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


class Volume:
    """The grids of a .vdb file or of an archive's first frame, read on demand."""

    def __init__(self, path: str | os.PathLike[str], library: ModelSet | None = None) -> None:
        self.path = os.fspath(path)
        self.archived = is_archive(self.path)
        self._reader: FrameReader | VdbReader = (
            FrameReader(self.path, library=library) if self.archived else VdbReader(self.path)
        )

    @property
    def metadata(self) -> bytes:
        """File-level metadata, OpenVDB's bytes."""
        return self._reader.table.metadata if isinstance(self._reader, FrameReader) else self._reader.metadata

    @property
    def grids(self) -> Sequence[Named]:
        """The grids' names."""
        return self._reader.table.grids if isinstance(self._reader, FrameReader) else self._reader.entries

    def read(self, index: int, threads: int = 1) -> VolumeGrid:
        """The grid number `index`, decoded by so many threads."""
        if isinstance(self._reader, FrameReader):
            return self._reader.read(index, threads=threads)
        return self._reader.read(index)


def select(grids: Sequence[Named], names: Sequence[str], path: str) -> list[int]:
    """Indices of the grids called one of `names`, all where there are none.

    Raises NoSuchGrid for a name that no grid has, and where a selected grid shares the tree of one that
    is not selected.
    """
    if not names:
        return list(range(len(grids)))
    chosen: set[int] = set()
    for name in names:
        found = [i for i, grid in enumerate(grids) if name in (display_name(grid.unique_name), _base(grid.unique_name))]
        if not found:
            there = ", ".join(display_name(grid.unique_name) for grid in grids) or "none"
            raise NoSuchGrid(f"{path}: has no grid '{name}'; it has: {there}")
        chosen.update(found)
    selected = {grids[i].unique_name for i in chosen}
    for i in chosen:
        if grids[i].parent and grids[i].parent not in selected:
            parent = display_name(grids[i].parent)
            raise NoSuchGrid(
                f"{path}: grid '{display_name(grids[i].unique_name)}' shares the tree of '{parent}'; select that too"
            )
    return sorted(chosen)


def _base(unique_name: bytes) -> str:
    return unique_name.partition(b"\x1e")[0].decode("utf-8", "backslashreplace")
