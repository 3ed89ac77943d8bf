"""What a grid on the mean lattice will look like, sooner than by encoding it: residuals of interpolation, no networks,
and of a large grid a quarter of the leaves.

The error of a picture hardly depends on who predicts, because the steps are the same and the residual rule is. Errors
of leaves hardly depend on each other, so that their squares add up along a ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.picture import Replacement
from neuralvdb.topology.chunks import group_leaves
from neuralvdb.values.lattice.chunks import Chunk, ChunkComponent, chunks_of
from neuralvdb.values.lattice.coding import SymbolSink
from neuralvdb.values.lattice.constants import EDGE, LAYERS, ROWS_AT_A_TIME, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.levels import pieces
from neuralvdb.values.lattice.native import NativeLattice
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.leaf_values import LeafValues
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.values.value_range import ranges_of
from neuralvdb.volume.grid import LeafLevel, Tree, leaf_origins

_LARGE = 1024  # leaves, from which on some will do
_APART = 4  # of which one in so many on any line along an axis


def leaves_that_stand(tree: Tree) -> np.ndarray:
    """(n,) int64: the leaves that a stand-in codes, all of them or one in a few."""
    if len(tree.leaf) < _LARGE:
        return np.arange(len(tree.leaf))
    plane = (leaf_origins(tree) // EDGE).sum(1) % _APART
    return np.flatnonzero(plane == np.bincount(plane).argmax())


def stand_in(
    tree: Tree, promise: Promise, leaves: np.ndarray, devices: Sequence[str] = (), *, threads: int = 1
) -> Replacement:
    """Nearly what some leaves of a scalar tree decode to under a promise of the mean lattice: the same values on every
    device.

    leaves: (n,) int64, coded without the others, which stay as they are. Raises OutOfMemory where a device has too
    little.
    """
    promise = replace(promise, ranges=ranges_of(tree, half=promise.mode.half))
    chunks = _chunks(tree, leaves)
    if devices:
        values = _on_devices(tree, chunks, promise, devices)[leaves]
    else:
        values = _on_host(tree, chunks, promise, leaves, threads)
    return Replacement(leaves, values.reshape(len(leaves), -1))


def _chunks(tree: Tree, leaves: np.ndarray) -> Iterator[Chunk]:
    """The chunks of some leaves of a tree."""
    groups = group_leaves(leaf_origins(tree)[leaves])
    return chunks_of(tree, [replace(group, leaves=leaves[group.leaves]) for group in groups])


def _on_host(tree: Tree, chunks: Iterator[Chunk], promise: Promise, leaves: np.ndarray, threads: int) -> np.ndarray:
    """Values (n, 512, 1) of leaves (n,), which are those of the chunks."""
    few = replace(tree, leaf=LeafLevel(tree.leaf.active[leaves], tree.leaf.values[leaves]))
    number_of = np.zeros(len(tree.leaf), np.int64)
    number_of[leaves] = np.arange(len(leaves))
    lattice = NativeLattice(LatticeKind.MEAN, promise.quantiser, Predictor({}, threads=threads))
    decoded = LeafValues(few, promise, np.empty_like(by_component(few.leaf)), threads)
    nowhere: Sequence[SymbolSink] = [_Nowhere()] * LAYERS
    for chunk_of_tree in chunks:
        chunk = replace(chunk_of_tree, leaves=number_of[chunk_of_tree.leaves])
        component = ChunkComponent.of(few, chunk, 0)
        decoded.fill(chunk, 0, lattice.encode(component, nowhere, np.zeros(SCALE_CLASSES)))
        for piece in pieces(len(component), ROWS_AT_A_TIME):
            rows, true = chunk.leaves[piece], component.rows(piece)
            if promise.keeps_any(true):
                continue
            values = decoded.values[rows, :, 0]
            decoded.values[rows, :, 0] = np.where(promise.kept(true, values), values, true)  # outliers are exact
    return decoded.values


def _on_devices(tree: Tree, chunks: Iterator[Chunk], promise: Promise, devices: Sequence[str]) -> np.ndarray:
    """Twin of _on_host() on devices."""
    from neuralvdb.values.device.encoder import DeviceEncoder

    inputs_of = lattice_of(LatticeKind.MEAN).inputs_of
    networks = {key: interpolation_only(inputs_of(key.phase)) for key in KEYS}
    encoder = DeviceEncoder(
        tree=tree, promise=promise, networks=networks, dead_zone=np.zeros(SCALE_CLASSES), devices=devices
    )
    return encoder.encode(chunks)[0]


class _Nowhere:
    """Forgets residuals."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """As SymbolSink has it."""

    def end(self) -> None:
        """As SymbolSink has it."""
