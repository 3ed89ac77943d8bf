"""A box of active voxels, as simulations leave it: section TOPO, codec 3 (layout in archive/SPEC.md).

A leaf stands wherever the box is, with the voxels in it active; whole leaves of it may be active tiles instead.
"""

from __future__ import annotations

from math import prod

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import LEAF_LOG2, LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack

_LEAF = 1 << LEAF_LOG2
_BLOCK_LOG2 = LOWER_LOG2 + LEAF_LOG2  # edge of a lower node in voxels
_ROOT_LOG2 = UPPER_LOG2 + _BLOCK_LOG2
_BYTE = np.dtype(np.uint8)


def encode(topology: Topology) -> bytes | None:
    """The payload of a TOPO section, None where it is no such box."""
    leaves = topology.leaf_origins()
    low, high = _extent(topology, leaves.astype(np.int64))
    first = low >> LEAF_LOG2
    shape = [int(n) for n in (high >> LEAF_LOG2) - first + 1]
    if not len(leaves) or prod(shape) != len(leaves) + popcount(topology.lower_active):
        return None
    is_leaf = np.zeros(shape, np.uint8)
    is_leaf[tuple(((leaves >> LEAF_LOG2) - first).T)] = 1
    made = _built(low, high, is_leaf)
    if any(not np.array_equal(a, b) for a, b in zip(_arrays(made), _arrays(topology), strict=True)):
        return None
    out = FieldWriter()
    out.put("i32", *(int(x) for x in low))
    for size in high - low:
        out.put_varint(int(size))
    put_array(out, np.packbits(is_leaf, bitorder="little"))
    return out.getvalue()


def decode(payload: bytes, declared: int, where: str) -> Topology:
    """The topology in `payload`. Raises DamagedFile where it breaks the format or takes more than `declared` bytes."""
    source = FieldReader(payload, where)
    low = np.array([source.take("i32") for _ in range(3)], np.int64)
    high = low + np.array([min(source.take_varint(), 1 << 32) for _ in range(3)], np.int64)
    if (high >= 1 << 31).any():
        raise source.damaged("a box reaches beyond 32 bits")
    blocks = [int(n) for n in (high >> _BLOCK_LOG2) - (low >> _BLOCK_LOG2) + 1]
    least = prod(blocks) << 10
    if least > declared:
        raise source.damaged(f"masks need {least} bytes and more but {declared} are declared")
    shape = [int(n) for n in (high >> LEAF_LOG2) - (low >> LEAF_LOG2) + 1]
    count = prod(shape)
    bits = take_array(source, _BYTE, -(-count // 8))
    source.finish()
    is_leaf = np.unpackbits(bits, count=count, bitorder="little").reshape(shape)
    if not is_leaf[~_inner(low, high)].all():
        raise source.damaged("a tile reaches out of the box")
    roots = [int(n) for n in (high >> _ROOT_LOG2) - (low >> _ROOT_LOG2) + 1]
    size = least + prod(roots) * (12 + 8192) + int(is_leaf.sum()) * 64
    if size > declared:
        raise source.damaged(f"masks need {size} bytes but {declared} are declared")
    return _built(low, high, is_leaf)


def _built(low: np.ndarray, high: np.ndarray, is_leaf: np.ndarray) -> Topology:
    """The topology with the voxels of a box from `low` to `high` active; is_leaf: of its bricks, which are no tiles."""
    origins = _boxes(low, high, _ROOT_LOG2) << _ROOT_LOG2
    blocks = _boxes(low, high, _BLOCK_LOG2)
    upper_child = np.zeros((len(origins), 1 << 3 * UPPER_LOG2), bool)
    upper_child[_slots(origins, blocks, _BLOCK_LOG2, UPPER_LOG2)] = True
    lowers = child_origins(origins, _packed(upper_child), UPPER_LOG2, 1 << _BLOCK_LOG2)
    bricks, flags = _boxes(low, high, LEAF_LOG2), is_leaf.reshape(-1) != 0
    child, tile = np.zeros((2, len(lowers), 1 << 3 * LOWER_LOG2), bool)
    child[_slots(lowers, bricks[flags], LEAF_LOG2, LOWER_LOG2)] = True
    tile[_slots(lowers, bricks[~flags], LEAF_LOG2, LOWER_LOG2)] = True
    leaves = child_origins(lowers, _packed(child), LOWER_LOG2, _LEAF)
    at = leaves[:, :, None].astype(np.int64) + np.arange(_LEAF)
    x, y, z = np.moveaxis((at >= low[:, None]) & (at <= high[:, None]), 1, 0)
    on = x[:, :, None, None] & y[:, None, :, None] & z[:, None, None]
    none = np.zeros((0, 3), np.int32), np.zeros(0, np.uint8)
    masks = (upper_child, np.zeros_like(upper_child), child, tile, on.reshape(len(on), -1))
    return Topology(origins, *none, *map(_packed, masks))


def _extent(topology: Topology, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (3,) int64 active voxels of leaves and lower nodes' tiles, if what is active is a box.

    leaves: (N, 3) int64 origins.
    """
    lowers = child_origins(topology.child_origins, topology.upper_child, UPPER_LOG2, 1 << _BLOCK_LOG2)
    tiles = child_origins(lowers, topology.lower_active, LOWER_LOG2, _LEAF).astype(np.int64)
    corners = [(tiles, tiles + _LEAF - 1)]
    for axis in range(3 if len(leaves) else 0):
        for end in (leaves[:, axis].min(), leaves[:, axis].max()):
            leaf = int(np.argmax(leaves[:, axis] == end))
            on = np.argwhere(unpack(topology.leaf_active[leaf : leaf + 1]).reshape(_LEAF, _LEAF, _LEAF))
            corners.append((leaves[leaf] + on, leaves[leaf] + on))
    low, high = (np.concatenate(ends) for ends in zip(*corners, strict=True))
    return (low.min(0), high.max(0)) if len(low) else (np.zeros(3, np.int64), np.zeros(3, np.int64) - 1)


def _inner(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(X, Y, Z) bool: bricks that lie in the box whole."""
    first, last = low >> LEAF_LOG2, high >> LEAF_LOG2
    axes = []
    for a, b, i, j in zip(low, high, first, last, strict=True):
        start = np.arange(i, j + 1) << LEAF_LOG2
        axes.append((start >= a) & (start + _LEAF - 1 <= b))
    return axes[0][:, None, None] & axes[1][None, :, None] & axes[2][None, None, :]


def _boxes(low: np.ndarray, high: np.ndarray, log2: int) -> np.ndarray:
    """(n, 3) int32: the cubes of 2**log2 voxels that the box touches, x slowest."""
    axes = [np.arange(a >> log2, (b >> log2) + 1, dtype=np.int32) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def _slots(parents: np.ndarray, cubes: np.ndarray, edge_log2: int, log2: int) -> tuple[np.ndarray, np.ndarray]:
    """Parent and slot of cubes (n, 3); parents: (P, 3) origins in voxels, in order of a box, x slowest or deeper."""
    where = cubes >> log2
    known = parents >> (edge_log2 + log2)
    order = np.lexsort(known.T[::-1])
    lowest, size = known.min(0), np.ptp(known, axis=0) + 1
    number = np.ravel_multi_index(tuple((where - lowest).T), tuple(size))
    within = cubes & ((1 << log2) - 1)
    return order[number], (within[:, 0] << 2 * log2) + (within[:, 1] << log2) + within[:, 2]


def _packed(mask: np.ndarray) -> np.ndarray:
    return np.packbits(mask, axis=1, bitorder="little")


def _arrays(topology: Topology) -> tuple[np.ndarray, ...]:
    return topology.child_origins, topology.tile_origins, *topology.masks
