"""How the leaves of a grid are dealt to chunks, which are coded without each other.

Leaves are cut between blocks of 128 voxels until what is left is small and dense enough for one box. Boxes of few
leaves then share a chunk, each in a cube of its own. Where many leaves are scattered, boxes that hold few of them for
their size are cut into blocks, so that no chunk has much more space than leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.topology import _topology
from neuralvdb.volume.lookup import distinct

LEAVES = 8192  # of a chunk, at most, unless it is one block
BLOCK = 128  # chunks are cut on the lines of lower nodes,
SPARSE = 8  # until one in so many blocks of their box holds leaves
EDGE = 8  # of a leaf, in voxels
CUBES = (4, 8, 16)  # edges of the cubes of boxes that share a chunk, in bricks
CROWD = 2048  # leaves of such a chunk, at most,
_BRICKS = 64 * 16**3  # and bricks of its cubes
FAR = 1 << 40  # voxels: where nothing is cut
_THIN = 4  # leaves for each block of a box that is not cut into blocks,
_SMALL = 8  # unless it has no more than so many,
_FEW = 64  # and the leaves of one that has no cube
_MANY, _WIDE = 8, 64  # so many boxes to cut, or one of more blocks than so many, make leaves scattered


@dataclass(frozen=True)
class LeafGroup:
    """The leaves of a chunk and the boxes that they lie in.

    leaves: (B,) int64, in the tree's order.
    box: (B,) int64, the box of each leaf.
    low, high: (K, 3) int64, the planes that each box was cut between, in voxels.
    edge: of the cube that each box gets, in bricks; 0 where the only box keeps its size.
    """

    leaves: np.ndarray
    box: np.ndarray
    low: np.ndarray
    high: np.ndarray
    edge: int


@dataclass(frozen=True)
class Pieces:
    """Leaves cut into K pieces.

    leaves: (N,) int64, piece after piece, in the tree's order.
    ends: (K,) int64, where each piece ends.
    low, high: (K, 3) int64, the planes it was cut between, in voxels.
    """

    leaves: np.ndarray
    ends: np.ndarray
    low: np.ndarray
    high: np.ndarray


def group_leaves(origins: np.ndarray, *, scattered: bool = False) -> list[LeafGroup]:
    """Groups of leaves at `origins` (N, 3) int32, in voxels, that become chunks. scattered: thin boxes are cut into
    blocks."""
    if not len(origins):
        return []
    pieces = _pieces(origins)
    if scattered:
        pieces = _in_blocks(origins, pieces, _thin(origins, pieces))
    edges = _cube_edges(origins, pieces)
    counts = np.diff(pieces.ends, prepend=0)
    return [_group(pieces, run, edge) for run, edge in _runs(counts.tolist(), edges.tolist())]


def value_groups(origins: np.ndarray) -> list[LeafGroup]:
    """Groups of leaves at `origins` (N, 3) int32, in voxels, as an encoder of values makes them."""
    return group_leaves(origins, scattered=is_scattered(origins))


def is_scattered(origins: np.ndarray) -> bool:
    """Whether leaves at `origins` (N, 3) int32, in voxels, would take much time or space if thin boxes were kept."""
    if not len(origins):
        return False
    pieces = _pieces(origins)
    blocks = _blocks(origins, pieces)
    if len(blocks) < _MANY and blocks.max() <= _WIDE:
        return False
    thin = _thin(origins, pieces)
    return int(thin.sum()) >= _MANY or bool((blocks[thin] > _WIDE).any())


def _pieces(origins: np.ndarray) -> Pieces:
    return Pieces(*_topology.cut_leaves(np.ascontiguousarray(origins, np.int32), LEAVES, SPARSE))


def cut_leaves(origins: np.ndarray) -> Pieces:
    """The definition of native/cut.h. What is too large is cut across its longest edge, where the larger side has the
    fewest leaves."""
    far = np.full(3, FAR)
    waiting, blocks = [(np.arange(len(origins)), -far, far)], origins.astype(np.int64) // BLOCK
    pieces = []
    while waiting:
        leaves, low, high = waiting.pop()
        block = blocks[leaves]
        edges = np.ptp(block, axis=0) + 1
        if edges.max() == 1 or _fits(block, edges):
            pieces.append((leaves, low, high))
            continue
        axis = int(edges.argmax())
        along = block[:, axis] - block[:, axis].min()
        before = np.cumsum(np.bincount(along))[:-1]
        cut = int(np.maximum(before, len(along) - before).argmin())
        plane = (block[:, axis].min() + cut + 1) * BLOCK
        upper, lower = low.copy(), high.copy()
        upper[axis] = lower[axis] = plane
        waiting.append((leaves[along > cut], upper, high))
        waiting.append((leaves[along <= cut], low, lower))
    leaves, lows, highs = zip(*pieces, strict=True)
    return Pieces(np.concatenate(leaves), np.cumsum([len(piece) for piece in leaves]), np.array(lows), np.array(highs))


def _fits(blocks: np.ndarray, edges: np.ndarray) -> bool:
    """Whether leaves in blocks (B, 3) may be one chunk, a box of `edges` blocks."""
    return len(blocks) <= LEAVES and bool(np.prod(edges, dtype=float) <= SPARSE * len(distinct(blocks)[0]))


def cube_begins(origins: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Where the cube of a box begins: at least a brick before its leaves, the first of which is at `origins` (K, 3), on
    lines of 16 voxels, but not below the planes `low` (K, 3). Voxels, int64."""
    begins: np.ndarray = np.maximum((origins.astype(np.int64) - EDGE) // 16 * 16, low)
    return begins


def _thin(origins: np.ndarray, pieces: Pieces) -> np.ndarray:
    """(K,) bool: pieces that are cut into blocks where leaves are scattered."""
    leaves = np.diff(pieces.ends, prepend=0)
    wide = _blocks(origins, pieces) > np.maximum(leaves / _THIN, _SMALL)
    return wide | ((leaves < _FEW) & (_cube_edges(origins, pieces) == 0))


def _blocks(origins: np.ndarray, pieces: Pieces) -> np.ndarray:
    """(K,) float64: blocks in the box of each piece."""
    first, last = (ends // BLOCK for ends in _ends(origins, pieces))
    blocks: np.ndarray = np.prod(last - first + 1, axis=1, dtype=float)
    return blocks


def _in_blocks(origins: np.ndarray, pieces: Pieces, thin: np.ndarray) -> Pieces:
    """The pieces, each thin one (K,) cut into its blocks, in order, x first, between the sides of each."""
    piece = np.repeat(np.arange(len(thin)), np.diff(pieces.ends, prepend=0))
    block = origins[pieces.leaves].astype(np.int64) // BLOCK
    block[~thin[piece]] = 0
    order = np.lexsort((*block.T[::-1], piece))
    key = np.column_stack([piece, block])[order]
    firsts = np.flatnonzero(np.append(True, (key[1:] != key[:-1]).any(1)))
    piece, block = key[firsts, 0], key[firsts, 1:] * BLOCK
    low, high = pieces.low[piece], pieces.high[piece]
    low[thin[piece]], high[thin[piece]] = block[thin[piece]], block[thin[piece]] + BLOCK
    return Pieces(pieces.leaves[order], np.append(firsts[1:], len(order)), low, high)


def _ends(origins: np.ndarray, pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest coordinates (K, 3) int64 of the leaves of each piece."""
    in_order, starts = origins[pieces.leaves], np.concatenate([[0], pieces.ends[:-1]])
    first, last = (ufunc.reduceat(in_order, starts).astype(np.int64) for ufunc in (np.minimum, np.maximum))
    return first, last


def _cube_edges(origins: np.ndarray, pieces: Pieces) -> np.ndarray:
    """(K,) the edge of the cube that each piece fits into with a brick around it, 0 where none is large enough."""
    first, last = _ends(origins, pieces)
    begins = cube_begins(first, pieces.low)
    ends = np.minimum(-(-(last + 2 * EDGE) // 16) * 16, pieces.high)
    needed = (ends - begins).max(1) // EDGE
    return np.array([*CUBES, 0])[np.searchsorted(CUBES, needed)]


def _runs(counts: list[int], edges: list[int]) -> Iterator[tuple[range, int]]:
    """Pieces that share a chunk, and the edge of their cubes, 0 for a piece alone. counts: of leaves."""
    first, leaves, largest = 0, 0, 0
    for number, (count, edge) in enumerate(zip(counts, edges, strict=True)):
        size = (number + 1 - first) * max(largest, edge) ** 3
        if number > first and not (largest and edge and leaves + count <= min(CROWD, LEAVES) and size <= _BRICKS):
            yield range(first, number), largest if number - first > 1 else 0
            first, leaves, largest = number, 0, 0
        leaves, largest = leaves + count, max(largest, edge)
    yield range(first, len(counts)), largest if len(counts) - first > 1 else 0


def _group(pieces: Pieces, run: range, edge: int) -> LeafGroup:
    """The chunk of a run of pieces."""
    ends = [0, *pieces.ends[run.start : run.stop] - (pieces.ends[run.start - 1] if run.start else 0)]
    first = pieces.ends[run.start - 1] if run.start else 0
    leaves, box = pieces.leaves[first : first + ends[-1]], np.repeat(np.arange(len(run)), np.diff(ends))
    numbers = slice(run.start, run.stop)
    if len(run) > 1:  # the leaves of each piece are in order
        order = np.argsort(leaves, kind="stable")
        leaves, box = leaves[order], box[order]
    return LeafGroup(leaves, box, pieces.low[numbers], pieces.high[numbers], edge)
