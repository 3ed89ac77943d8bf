"""Topology as plain compressed masks: section TOPO, codec 0 (layout in archive/SPEC.md)."""

from __future__ import annotations

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import popcount

_BYTE, _INT = np.dtype(np.uint8), np.dtype("<i4")
_ROOT_TILE, _ROOT_CHILD = 13, 12  # bytes of an entry


def encode(topology: Topology) -> bytes:
    """The payload of a TOPO section."""
    out = FieldWriter()
    tiles, uppers, _, _ = topology.counts
    out.put("u32", uppers, tiles)
    for array in _in_order(topology):
        put_array(out, np.ascontiguousarray(array).reshape(-1))
    return out.getvalue()


def raw_size(topology: Topology) -> int:
    """Bytes of the decoded arrays."""
    return sum(array.nbytes for array in _in_order(topology))


def decode(payload: bytes, declared: int, where: str) -> Topology:
    """The topology in `payload`. Raises DamagedFile where it breaks the format or takes more than `declared` bytes."""
    source = FieldReader(payload, where)
    uppers, tiles = source.take("u32"), source.take("u32")

    def fits(size: int) -> int:
        if size > declared:
            raise source.damaged(f"masks need {size} bytes but {declared} are declared")
        return size

    used = fits(uppers * (_ROOT_CHILD + 8192) + tiles * _ROOT_TILE)
    child_origins = take_array(source, _INT, 3 * uppers).reshape(-1, 3)
    tile_origins = take_array(source, _INT, 3 * tiles).reshape(-1, 3)
    tile_active = take_array(source, _BYTE, tiles)
    upper_child = take_array(source, _BYTE, uppers * 4096).reshape(-1, 4096)
    upper_active = take_array(source, _BYTE, uppers * 4096).reshape(-1, 4096)
    lowers = popcount(upper_child)
    used = fits(used + lowers * 1024)
    lower_child = take_array(source, _BYTE, lowers * 512).reshape(-1, 512)
    lower_active = take_array(source, _BYTE, lowers * 512).reshape(-1, 512)
    leaves = popcount(lower_child)
    fits(used + leaves * 64)
    leaf_active = take_array(source, _BYTE, leaves * 64).reshape(-1, 64)
    source.finish()
    topology = Topology(
        child_origins, tile_origins, tile_active, upper_child, upper_active, lower_child, lower_active, leaf_active
    )
    _check(topology, source)
    return topology


def _in_order(topology: Topology) -> list[np.ndarray]:
    return [
        topology.child_origins,
        topology.tile_origins,
        topology.tile_active,
        topology.upper_child,
        topology.upper_active,
        topology.lower_child,
        topology.lower_active,
        topology.leaf_active,
    ]


def _check(topology: Topology, source: FieldReader) -> None:
    origins = np.concatenate([topology.child_origins, topology.tile_origins])
    if (origins % 4096).any():
        raise source.damaged("a root entry lies off the tree's lines")
    if len(np.unique(origins, axis=0)) != len(origins):
        raise source.damaged("two root entries have the same origin")
    if (topology.tile_active > 1).any():
        raise source.damaged("an active flag is neither 0 nor 1")
    for child, active in ((topology.upper_child, topology.upper_active), (topology.lower_child, topology.lower_active)):
        if (child & active).any():
            raise source.damaged("a slot is marked both as child and as active tile")
