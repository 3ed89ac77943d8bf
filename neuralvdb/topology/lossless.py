"""Topology as plain compressed masks: section TOPO, codec 0 (layout in archive/SPEC.md)."""

from __future__ import annotations

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, likely_stream_size, put_array, take_array
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.root import put_root, take_root
from neuralvdb.volume.grid import popcount

_BYTE = np.dtype(np.uint8)


def encode(topology: Topology) -> bytes:
    """The payload of a TOPO section."""
    out = FieldWriter()
    put_root(out, topology)
    for mask in topology.masks:
        put_array(out, np.ascontiguousarray(mask).reshape(-1))
    return out.getvalue()


def likely_size(topology: Topology) -> int:
    """Bytes, nearly, of that payload, as a rule a little more; found in a tenth of the time."""
    return sum(likely_stream_size(np.ascontiguousarray(mask).reshape(-1)) for mask in topology.masks)


def decode(payload: bytes, declared: int, where: str) -> Topology:
    """The topology in `payload`. Raises DamagedFile where it breaks the format or takes more than `declared` bytes."""
    source = FieldReader(payload, where)
    root, used = take_root(source, declared)

    def fits(size: int) -> int:
        if size > declared:
            raise source.damaged(f"masks need {size} bytes but {declared} are declared")
        return size

    def masks(nodes: int, size: int) -> np.ndarray:
        return take_array(source, _BYTE, nodes * size).reshape(-1, size)

    uppers = len(root.child_origins)
    upper_child, upper_active = masks(uppers, 4096), masks(uppers, 4096)
    lowers = popcount(upper_child)
    used = fits(used + lowers * 1024)
    lower_child, lower_active = masks(lowers, 512), masks(lowers, 512)
    leaves = popcount(lower_child)
    fits(used + leaves * 64)
    leaf_active = masks(leaves, 64)
    source.finish()
    for child, active in ((upper_child, upper_active), (lower_child, lower_active)):
        if (child & active).any():
            raise source.damaged("a slot is marked both as child and as active tile")
    table = root.child_origins, root.tile_origins, root.tile_active
    return Topology(*table, upper_child, upper_active, lower_child, lower_active, leaf_active)
