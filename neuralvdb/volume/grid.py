"""A VDB grid as plain arrays.

Letters in shapes: U upper nodes, L lower nodes, N leaves, T root tiles, S slots of a node (upper 32768,
lower 4096, leaf 512), C components (the axis is absent for scalars). Nodes stand in depth-first order,
so the children of a level are the set bits of its parents' child masks, in order. Masks are packed: bit
n of a node is bit n % 8 of byte n // 8. Slot and voxel order is OpenVDB's (z fastest).
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np

from neuralvdb.dataclass import dataclass

UPPER_SLOTS, LOWER_SLOTS, LEAF_SLOTS = 32768, 4096, 512
UPPER_LOG2, LOWER_LOG2, LEAF_LOG2 = 5, 4, 3

# Grid types that travel as arrays: name in the file -> (component type, components).
TREE_TYPES: dict[str, tuple[np.dtype, int]] = {
    "Tree_float_5_4_3": (np.dtype(np.float32), 1),
    "Tree_double_5_4_3": (np.dtype(np.float64), 1),
    "Tree_vec3s_5_4_3": (np.dtype(np.float32), 3),
    "Tree_vec3d_5_4_3": (np.dtype(np.float64), 3),
}


class Storage(IntEnum):
    """How a grid travels: as arrays, as OpenVDB's serialised bytes, as the file's own bytes, or by reference."""

    TREE = 0
    SERIAL = 1
    RAW = 2
    INSTANCE = 3


@dataclass
class InnerLevel:
    """The upper or the lower nodes of a tree. child: (nodes, S/8) uint8; active: (nodes, S/8) uint8, tiles only;
    values: (nodes, S[, C]), zero in child slots."""

    child: np.ndarray
    active: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.active)


@dataclass
class LeafLevel:
    """The leaves of a tree. active: (N, 64) uint8; values: (N, 512[, C])."""

    active: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.active)


TreeLevel: TypeAlias = InnerLevel | LeafLevel


@dataclass
class Root:
    """The root table. background: ([C]); child_origins: (U, 3) int32; tile_origins: (T, 3) int32;
    tile_active: (T,) uint8; tile_values: (T[, C]). Origins are index-space coordinates (voxels)."""

    background: np.ndarray
    child_origins: np.ndarray
    tile_origins: np.ndarray
    tile_active: np.ndarray
    tile_values: np.ndarray


@dataclass
class Tree:
    """A 5-4-3 tree. Its nodes are not changed: where they are is computed once."""

    root: Root
    upper: InnerLevel
    lower: InnerLevel
    leaf: LeafLevel

    @property
    def levels(self) -> tuple[InnerLevel, InnerLevel, LeafLevel]:
        """Upper, lower and leaf level."""
        return self.upper, self.lower, self.leaf

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        root = [getattr(self.root, name) for name in self.root.__dataclass_fields__]
        masks = [self.upper.child, self.lower.child, *(level.active for level in self.levels)]
        return sum(array.nbytes for array in (*root, *masks, *(level.values for level in self.levels)))

    @cached_property
    def lower_origins(self) -> np.ndarray:
        """Index-space origin (L, 3) int32 of every lower node (voxels)."""
        return child_origins(self.root.child_origins, self.upper.child, UPPER_LOG2, 128)

    @cached_property
    def leaf_origins(self) -> np.ndarray:
        """Index-space origin (N, 3) int32 of every leaf (voxels)."""
        return child_origins(self.lower_origins, self.lower.child, LOWER_LOG2, 8)


@dataclass
class VolumeGrid:
    """One grid of a file.

    unique_name is the name in the file, with OpenVDB's suffix for duplicates; metadata and transform are
    OpenVDB's own serialised bytes. `tree` is set for TREE, `blob` for SERIAL and RAW; an INSTANCE shares
    the tree of the grid whose unique name is `parent`.
    """

    unique_name: bytes
    grid_type: str
    half: bool
    storage: Storage
    parent: bytes = b""
    metadata: bytes = b""
    transform: bytes = b""
    tree: Tree | None = None
    blob: bytes = b""
    block_offset: int = field(default=0, compare=False)  # RAW only: bytes from the grid to its buffers

    @property
    def name(self) -> str:
        """The name for people: `density`, or `density[1]` where names repeat."""
        return display_name(self.unique_name)


def display_name(unique_name: bytes) -> str:
    """`density` or `density[1]` for a unique name; bytes that are no UTF-8 come out escaped."""
    text = unique_name.decode("utf-8", "backslashreplace")
    name, sep, number = text.partition("\x1e")
    return f"{name}[{number}]" if sep else name


def popcount(mask: np.ndarray) -> int:
    """The number of set bits of a packed mask."""
    return int.from_bytes(mask.tobytes(), "little").bit_count()


def unpack(mask: np.ndarray) -> np.ndarray:
    """(nodes, S) bool from a packed (nodes, S/8) mask."""
    bits: np.ndarray = np.unpackbits(mask, axis=1, bitorder="little").view(bool)
    return bits


def child_origins(origins: np.ndarray, child: np.ndarray, log2dim: int, child_dim: int) -> np.ndarray:
    """Origins (children, 3) int32 of all children of nodes at `origins` (nodes, 3).

    log2dim: the node's children per axis as a power of two; child_dim: a child's edge in voxels.
    """
    number = np.flatnonzero(unpack(child))
    node, low = number >> 3 * log2dim, (1 << log2dim) - 1
    origins_of_children = np.empty((len(number), 3), np.int32)
    for axis in range(3):
        steps = (number >> (2 - axis) * log2dim & low) * child_dim
        np.add(origins[node, axis], steps, out=origins_of_children[:, axis], casting="unsafe")
    return origins_of_children


def lower_origins(tree: Tree) -> np.ndarray:
    """Index-space origin (L, 3) int32 of every lower node (voxels)."""
    return tree.lower_origins


def leaf_origins(tree: Tree) -> np.ndarray:
    """Index-space origin (N, 3) int32 of every leaf (voxels)."""
    return tree.leaf_origins
