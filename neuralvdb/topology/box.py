"""A box of active voxels, as simulations leave it: section TOPO, codec 3 (layout in archive/SPEC.md).

A leaf stands wherever the box is, with the voxels in it active; whole leaves of it may be active tiles instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.topology.masks import Topology
from neuralvdb.volume.grid import LEAF_LOG2, LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack

_LEAF = 1 << LEAF_LOG2
_BLOCK_LOG2 = LOWER_LOG2 + LEAF_LOG2  # edge of a lower node in voxels
_ROOT_LOG2 = UPPER_LOG2 + _BLOCK_LOG2
_BYTE = np.dtype(np.uint8)
_PIECE = 256  # nodes


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
    bits = np.packbits(is_leaf, bitorder="little")
    made = _built(low, high, bits)
    if any(not np.array_equal(a, b) for a, b in zip(_arrays(made), _arrays(topology), strict=True)):
        return None
    out = FieldWriter()
    out.put("i32", *(int(x) for x in low))
    for size in high - low:
        out.put_varint(int(size))
    put_array(out, bits)
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
    count = prod(int(n) for n in (high >> LEAF_LOG2) - (low >> LEAF_LOG2) + 1)
    bits = take_array(source, _BYTE, -(-count // 8))
    source.finish()
    if count % 8 and bits[-1] >> count % 8:
        raise source.damaged("bits are set beyond the box")
    roots = [int(n) for n in (high >> _ROOT_LOG2) - (low >> _ROOT_LOG2) + 1]
    size = least + prod(roots) * (12 + 8192) + popcount(bits) * 64
    if size > declared:
        raise source.damaged(f"masks need {size} bytes but {declared} are declared")
    built = _built(low, high, bits)
    if (built.lower_active & ~_whole_bricks(_lower_origins(built), low, high)).any():
        raise source.damaged("a tile reaches out of the box")
    return built


def _built(low: np.ndarray, high: np.ndarray, bits: np.ndarray) -> Topology:
    """The topology with the voxels of a box from `low` to `high` active; bits: packed, its bricks that are no tiles."""
    origins = _boxes(low, high, _ROOT_LOG2) << _ROOT_LOG2
    upper_child = _touched(origins, low, high, (UPPER_LOG2, _BLOCK_LOG2))
    lowers = child_origins(origins, upper_child, UPPER_LOG2, 1 << _BLOCK_LOG2)
    bricks = _touched(lowers, low, high, (LOWER_LOG2, LEAF_LOG2))
    child = bricks & _leaf_bits(lowers, low, high, bits)
    leaves = child_origins(lowers, child, LOWER_LOG2, _LEAF)
    none = np.zeros((0, 3), np.int32), np.zeros(0, np.uint8)
    return Topology(
        origins,
        *none,
        upper_child=upper_child,
        upper_active=np.zeros_like(upper_child),
        lower_child=child,
        lower_active=bricks & ~child,
        leaf_active=_touched(leaves, low, high, (LEAF_LOG2, 0)),
    )


def _touched(origins: np.ndarray, low: np.ndarray, high: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Packed masks (n, S/8) of nodes at origins (n, 3): the slots that the box touches.

    size: log2 of slots per axis of a node, and of voxels per axis of a slot.
    """
    log2, edge_log2 = size
    steps, last = np.arange(1 << log2) << edge_log2, (1 << edge_log2) - 1
    masks = np.empty((len(origins), 1 << 3 * log2 - 3), np.uint8)
    for piece in _pieces(len(origins)):
        at = origins[piece, :, None].astype(np.int64) + steps
        x, y, z = np.moveaxis((at + last >= low[:, None]) & (at <= high[:, None]), 1, 0)
        lines = np.where(x[:, :, None, None] & y[:, None, :, None], _packed(z)[:, None, None], np.uint8(0))
        masks[piece] = lines.reshape(len(x), -1)
    return masks


def _whole_bricks(lowers: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Packed masks (L, 512) of lower nodes: bricks that lie in the box whole."""
    first, behind = -(-low >> LEAF_LOG2) << LEAF_LOG2, high + 1 >> LEAF_LOG2 << LEAF_LOG2
    return _touched(lowers, first, behind - 1, (LOWER_LOG2, LEAF_LOG2))


def _leaf_bits(lowers: np.ndarray, low: np.ndarray, high: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Packed masks (L, 512) of lower nodes: the `bits` of their bricks; beyond the box they mean nothing."""
    first, last = low >> LEAF_LOG2, high >> LEAF_LOG2
    masks = np.empty((len(lowers), 512), np.uint8)
    for piece in _pieces(len(lowers)):
        at = (lowers[piece, :, None] >> LEAF_LOG2) + np.arange(1 << LOWER_LOG2)
        x, y, z = np.moveaxis(at.clip(first[:, None], last[:, None]) - first[:, None], 1, 0)
        _, height, depth = last - first + 1
        number = (x[:, :, None, None] * height + y[:, None, :, None]) * depth + z[:, None, None]
        masks[piece] = _packed((bits[number >> 3] >> (number & 7) & 1).reshape(len(x), -1))
    return masks


def _pieces(nodes: int) -> Iterator[slice]:
    """So many nodes in slices whose slots take little memory, whatever the box."""
    return (slice(first, first + _PIECE) for first in range(0, nodes, _PIECE))


def _lower_origins(topology: Topology) -> np.ndarray:
    return child_origins(topology.child_origins, topology.upper_child, UPPER_LOG2, 1 << _BLOCK_LOG2)


def _extent(topology: Topology, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (3,) int64 active voxels of leaves and lower nodes' tiles, if what is active is a box.

    leaves: (N, 3) int64 origins.
    """
    tiles = child_origins(_lower_origins(topology), topology.lower_active, LOWER_LOG2, _LEAF).astype(np.int64)
    corners = [(tiles, tiles + _LEAF - 1)]
    for axis in range(3 if len(leaves) else 0):
        for end in (leaves[:, axis].min(), leaves[:, axis].max()):
            leaf = int(np.argmax(leaves[:, axis] == end))
            on = np.argwhere(unpack(topology.leaf_active[leaf : leaf + 1]).reshape(_LEAF, _LEAF, _LEAF))
            corners.append((leaves[leaf] + on, leaves[leaf] + on))
    low, high = (np.concatenate(ends) for ends in zip(*corners, strict=True))
    return (low.min(0), high.max(0)) if len(low) else (np.zeros(3, np.int64), np.zeros(3, np.int64) - 1)


def _boxes(low: np.ndarray, high: np.ndarray, log2: int) -> np.ndarray:
    """(n, 3) int32: the cubes of 2**log2 voxels that the box touches, x slowest."""
    axes = [np.arange(a >> log2, (b >> log2) + 1, dtype=np.int32) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def _packed(mask: np.ndarray) -> np.ndarray:
    return np.packbits(mask, axis=1, bitorder="little")


def _arrays(topology: Topology) -> tuple[np.ndarray, ...]:
    return topology.child_origins, topology.tile_origins, *topology.masks
