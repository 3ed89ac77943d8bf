"""The root table, which both codecs store alike."""

from __future__ import annotations

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.lookup import distinct

_BYTE, _INT = np.dtype(np.uint8), np.dtype("<i4")
_TILE, _CHILD = 13, 12 + 8192  # bytes in memory of a tile of the root; of a child's origin and masks


def put_root(out: FieldWriter, topology: Topology) -> None:
    """Appends the root table."""
    tiles, uppers, _, _ = topology.counts
    out.put("u32", uppers, tiles)
    for array in (topology.child_origins, topology.tile_origins, topology.tile_active):
        put_array(out, np.ascontiguousarray(array).reshape(-1))


def take_root(source: FieldReader, declared: int) -> tuple[Topology, int]:
    """A topology of which only the root table is set, and the bytes of that and of the upper nodes' masks.

    Raises DamagedFile where they are more than `declared`, or the table breaks the rules of a tree.
    """
    uppers, tiles = source.take("u32"), source.take("u32")
    size = uppers * _CHILD + tiles * _TILE
    if size > declared:
        raise source.damaged(f"masks need {size} bytes but {declared} are declared")
    child_origins = take_array(source, _INT, 3 * uppers).reshape(-1, 3)
    tile_origins = take_array(source, _INT, 3 * tiles).reshape(-1, 3)
    tile_active = take_array(source, _BYTE, tiles)
    origins = np.concatenate([child_origins, tile_origins])
    if (origins % 4096).any():
        raise source.damaged("a root entry lies off the tree's lines")
    if len(distinct(origins)[0]) != len(origins):
        raise source.damaged("two root entries have the same origin")
    if (tile_active > 1).any():
        raise source.damaged("an active flag is neither 0 nor 1")
    none = np.zeros((0, 0), np.uint8)
    return Topology(child_origins, tile_origins, tile_active, none, none, none, none, none), size
