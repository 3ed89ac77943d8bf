"""Grids in memory in place of a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from neuralvdb.vdb import _bridge
from neuralvdb.vdb.files import FILE_VERSION, NIL_UUID, Entry, VdbReader
from neuralvdb.volume import VolumeGrid


class GridsInMemory:
    """Grids by the names that VdbReader has for those of a file; their bytes are those of their arrays.

    Raises ValueError where two have the same name.
    """

    def __init__(self, grids: Iterable[VolumeGrid]) -> None:
        self._grids = list(grids)
        self.path = "grids in memory"
        self.version = FILE_VERSION
        major, minor = _bridge.OPENVDB_VERSION.split(".")[:2]
        self.openvdb_version = (int(major), int(minor))
        self.uuid = NIL_UUID
        self.metadata = _bridge.make_metadata({})
        self.entries = [_entry(grid) for grid in self._grids]
        self.size = sum(entry.end_pos for entry in self.entries)
        names = [grid.name for grid in self._grids]
        if len({*names}) < len(names):
            raise ValueError(f"two of the grids have one name; they are called {', '.join(names)}")

    def read(self, index: int) -> VolumeGrid:
        """The grid at `index`."""
        return self._grids[index]

    def hash_bytes(self) -> bytes:
        """Nothing: there is no file."""
        return b""


GridFile: TypeAlias = VdbReader | GridsInMemory
"""What grids are read from."""


def _entry(grid: VolumeGrid) -> Entry:
    size = len(grid.blob) if grid.tree is None else grid.tree.nbytes
    return Entry(grid.unique_name, grid.grid_type, grid.parent, grid.half, 0, 0, size)
