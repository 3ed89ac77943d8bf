"""Tile and voxel values, bit for bit: section VALS, codec 0 (layout in archive/SPEC.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import zstandard

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.dataclass import dataclass
from neuralvdb.topology import Topology
from neuralvdb.values.inactive import (
    ALL,
    KINDS,
    Inactive,
    classify,
    hold_only,
    kinds_with,
    pairs_of,
    restore,
    two_valued,
)
from neuralvdb.volume.grid import (
    LEAF_SLOTS,
    LOWER_SLOTS,
    UPPER_SLOTS,
    InnerLevel,
    LeafLevel,
    Root,
    Tree,
    TreeLevel,
    popcount,
    unpack,
)
from neuralvdb.volume.regions import first_voxels, without_leaves

# Codes of stored value types, narrowest first: a stream uses the first that holds all its values exactly.
_TYPES = (np.dtype("<f2"), np.dtype("<f4"), np.dtype("<f8"))
_HELD = (4, 8)  # bytes of values that hold_only() compares
_BYTE = np.dtype(np.uint8)
_PIECE = 1 << 18  # values tried together; bounds the memory for temporaries


def encode(tree: Tree) -> bytes:
    """The payload of a VALS section."""
    out = FieldWriter()
    put_tree_without_voxels(out, tree)
    _put_values(out, _gather_active(tree.leaf))
    return out.getvalue()


def active_size(leaf: LeafLevel) -> int:
    """Bytes that the active values of leaves take."""
    out = FieldWriter()
    _put_values(out, _gather_active(leaf))
    return len(out.getvalue())


def repeats_size(leaf: LeafLevel) -> int:
    """Bytes of the active values of leaves where only what they repeat is left out."""
    values = by_component(leaf)
    coder = zstandard.ZstdCompressor(level=1).compressobj(size=popcount(leaf.active) * values[:1, :1].nbytes)
    size = sum(len(coder.compress(values[nodes][on])) for nodes, _, on in _pieces(leaf.active))
    return size + len(coder.flush())


def put_tree_without_voxels(out: FieldWriter, tree: Tree, threads: int = 1) -> None:
    """Appends everything but the active values of leaves."""
    root = tree.root
    background = np.atleast_1d(root.background)
    _put_values(out, background[None])
    _put_values(out, root.tile_values.reshape(len(root.tile_values), len(background)))
    for level in tree.levels:
        _put_inactive(out, level, (_bits(background), _bits(-background)), threads)
        if isinstance(level, InnerLevel):
            _put_values(out, _gather_active(level))


def raw_size(tree: Tree) -> int:
    """Bytes of the decoded values."""
    arrays = [tree.root.background, tree.root.tile_values, *(level.values for level in tree.levels)]
    return sum(array.nbytes for array in arrays)


def decode(payload: bytes, topology: Topology, dtype: np.dtype, components: int, declared: int, where: str) -> Tree:
    """The tree of `topology` with its values. Raises DamagedFile where the payload breaks the format or the
    values do not take exactly `declared` bytes."""
    source = FieldReader(payload, where)
    tree = take_tree_without_voxels(source, topology, dtype, components, declared)
    active = _take_values(source, popcount(tree.leaf.active), dtype, components)
    _scatter_active(by_component(tree.leaf), tree.leaf.active, active)
    source.finish()
    return tree


def take_tree_without_voxels(
    source: FieldReader,
    topology: Topology,
    dtype: np.dtype,
    components: int,
    declared: int,
    keep: np.ndarray | None = None,
) -> Tree:
    """The tree that put_tree_without_voxels() wrote; the active values of its leaves are anything. Raises DamagedFile.

    keep: (leaves,) bool, which leaves it shall have; all where it is None.
    """
    tree, inactive = take_tree_without_leaves(source, topology, dtype, components, declared, keep)
    inactive.restore(tree.leaf)
    return tree


def take_tree_without_leaves(
    source: FieldReader,
    topology: Topology,
    dtype: np.dtype,
    components: int,
    declared: int,
    keep: np.ndarray | None = None,
) -> tuple[Tree, InactiveLeaves]:
    """The same tree with leaves all of whose values are anything, and the inactive ones. Raises DamagedFile."""
    tiles, uppers, lowers, leaves = topology.counts
    values = 1 + tiles + uppers * UPPER_SLOTS + lowers * LOWER_SLOTS + leaves * LEAF_SLOTS
    if values * components * dtype.itemsize != declared:
        raise source.damaged(f"values need {values * components * dtype.itemsize} bytes but {declared} are declared")
    tail = () if components == 1 else (components,)
    background = _take_values(source, 1, dtype, components)[0]
    tile_values = _take_values(source, tiles, dtype, components).reshape(tiles, *tail)
    root = Root(
        background.reshape(tail)[()],
        topology.child_origins,
        topology.tile_origins,
        topology.tile_active,
        tile_values,
    )
    upper, lower = (
        _take_inner(source, _Slots(*masks), dtype, background)
        for masks in ((topology.upper_child, topology.upper_active), (topology.lower_child, topology.lower_active))
    )
    slots = _Slots(None, topology.leaf_active, topology.need)
    inactive = InactiveLeaves(_take_inactive(source, slots, dtype, components, keep), background)
    leaf_active = topology.leaf_active
    if keep is not None:
        leaf_active = leaf_active[keep]
        lower = without_leaves(lower, keep, root.background)
    leaf = LeafLevel(leaf_active, np.empty((len(leaf_active), LEAF_SLOTS, *tail), dtype))
    return Tree(root, upper, lower, leaf), inactive


@dataclass(frozen=True)
class InactiveLeaves:
    """The inactive values of leaves. background: (C,) of the grid."""

    values: Inactive
    background: np.ndarray

    def restore(self, leaf: LeafLevel) -> None:
        """Writes them to leaves; active values become anything."""
        self._restore(leaf, _bits(by_component(leaf)), slice(None))

    def sampled(self, leaf: LeafLevel, lod: int) -> np.ndarray:
        """(N, M, C): every 2**lod-th voxel of leaves; active ones are anything."""
        voxels = first_voxels(np.arange(LEAF_SLOTS)[None], lod).reshape(-1)
        cells = np.empty((len(leaf), len(voxels), len(self.background)), leaf.values.dtype)
        self._restore(leaf, _bits(cells), voxels)
        return cells

    def _restore(self, leaf: LeafLevel, out: np.ndarray, voxels: np.ndarray | slice) -> None:
        slots = _Slots(None, leaf.active)
        restore(self.values, slots.inactive, _bits(self.background), _bits(-self.background), out, voxels)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The two values of each leaf (N, C), as bits; the second one stands where selections are set."""
        return pairs_of(self.values, _bits(self.background), _bits(-self.background))


def by_component(level: TreeLevel) -> np.ndarray:
    """(nodes, S, C) view of a level's values."""
    shape = level.values.shape
    return level.values.reshape(*shape[:2], shape[2] if len(shape) == 3 else 1)


def _gather_active(level: TreeLevel) -> np.ndarray:
    """(count, C): the active values of a level, gathered a few nodes and one component at a time to save memory."""
    values = by_component(level)
    out = np.empty((popcount(level.active), values.shape[2]), values.dtype)
    for nodes, piece, on in _pieces(level.active):
        for c in range(values.shape[2]):
            out[piece, c] = values[nodes, :, c][on]
    return out


def _scatter_active(values: np.ndarray, mask: np.ndarray, active: np.ndarray) -> None:
    """Puts active values (count, C) into values (N, S, C), as _gather_active() takes them out; mask: (N, S/8) uint8."""
    for nodes, piece, on in _pieces(mask) if len(active) else ():
        for c in range(values.shape[2]):
            values[nodes, :, c][on] = active[piece, c]


def _pieces(active: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Nodes, the places of their active values among all, and their mask (nodes, S) bool."""
    step, start = max(1, _PIECE // (8 * active.shape[1])), 0
    for i in range(0, len(active), step):
        on = unpack(active[i : i + step])
        end = start + int(on.sum())
        yield slice(i, i + step), slice(start, end), on
        start = end


def _put_inactive(out: FieldWriter, level: TreeLevel, both: tuple[np.ndarray, np.ndarray], threads: int) -> None:
    """Appends the inactive values of a level; both: bits of the background and of its negative."""
    values, slots = by_component(level), _Slots(level.child if isinstance(level, InnerLevel) else None, level.active)
    uniform = None
    if values.shape[2] == 1 and values.itemsize in _HELD:
        uniform = hold_only(_bits(values)[..., 0], slots.mask, both[0][0], threads)
    inactive_values = classify(_bits(values), slots.inactive, *both, uniform=uniform, threads=threads)
    put_array(out, inactive_values.kinds)
    put_array(out, inactive_values.selection.reshape(-1))
    for stored in (inactive_values.a, inactive_values.b, inactive_values.stored):
        _put_values(out, stored.view(values.dtype))


@dataclass(frozen=True)
class _Slots:
    """Slots of a level. child, active: masks (nodes, S/8), child None for leaves; need: as Topology has it."""

    child: np.ndarray | None
    active: np.ndarray
    need: Callable[[np.ndarray], None] | None = None

    @property
    def mask(self) -> np.ndarray:
        """(nodes, S/8): slots that are active or a child."""
        return self.active if self.child is None else self.active | self.child

    def inactive(self, nodes: np.ndarray) -> np.ndarray:
        """(n, S) bool: which slots of some nodes are neither active nor a child."""
        active = unpack(self.active[nodes])
        return ~(active if self.child is None else active | unpack(self.child[nodes]))


def _take_inner(source: FieldReader, level: _Slots, dtype: np.dtype, background: np.ndarray) -> InnerLevel:
    """Upper or lower nodes with all their values."""
    assert level.child is not None
    values = _take_inactive(source, level, dtype, len(background))
    shape = len(level.active), 8 * level.active.shape[1]
    slot_values = np.empty((*shape, len(background)), dtype)
    restore(values, level.inactive, _bits(background), _bits(-background), _bits(slot_values))
    _scatter_active(slot_values, level.active, _take_values(source, popcount(level.active), dtype, len(background)))
    slot_values[unpack(level.child)] = 0
    tail = () if len(background) == 1 else (len(background),)
    return InnerLevel(level.child, level.active, slot_values.reshape(*shape, *tail))


def _take_inactive(
    source: FieldReader, level: _Slots, dtype: np.dtype, components: int, keep: np.ndarray | None = None
) -> Inactive:
    """Inactive values of the nodes `keep` (nodes,) bool, or of all."""
    nodes, slots = level.active.shape
    slots *= 8
    kinds = take_array(source, _BYTE, nodes)
    if (kinds >= len(KINDS)).any():
        raise source.damaged("a node's class does not exist")
    all_stored = kinds == ALL
    if level.need is not None and keep is not None:
        level.need(keep | all_stored)
    selected = int(two_valued()[kinds].sum())
    selection = take_array(source, _BYTE, selected * slots // 8).reshape(selected, slots // 8)
    counts = level.inactive(all_stored).sum(1)
    expected = int(kinds_with("a")[kinds].sum()), int(kinds_with("b")[kinds].sum()), int(counts.sum())
    a, b, stored = (_bits(_take_values(source, n, dtype, components)) for n in expected)
    values = Inactive(kinds, a, b, selection, stored)
    return values if keep is None else values.of(keep, counts)


def _bits(values: np.ndarray) -> np.ndarray:
    return values.view(f"u{values.itemsize}")


def _put_values(out: FieldWriter, values: np.ndarray) -> None:
    """Appends (count, C) values: the type they fit (u8), then a stream per component."""
    narrow = next(t for t in _TYPES if t == values.dtype or _fits(values, t))
    out.put("u8", _TYPES.index(narrow))
    for component in values.T:
        put_array(out, np.ascontiguousarray(component.astype(narrow, copy=False)))


def _fits(values: np.ndarray, narrow: np.dtype) -> bool:
    for i in range(0, len(values), _PIECE):
        piece = values[i : i + _PIECE]
        with np.errstate(over="ignore", invalid="ignore"):
            back = piece.astype(narrow).astype(values.dtype)
        if not np.array_equal(_bits(back), _bits(piece)):
            return False
    return True


def _take_values(source: FieldReader, count: int, dtype: np.dtype, components: int) -> np.ndarray:
    code = source.take("u8")
    if code >= len(_TYPES) or _TYPES[code].itemsize > dtype.itemsize:
        raise source.damaged(f"value type {code} does not belong in a grid of {dtype}")
    component_values = [take_array(source, _TYPES[code], count).astype(dtype, copy=False) for _ in range(components)]
    return component_values[0][:, None] if components == 1 else np.stack(component_values, axis=1)
