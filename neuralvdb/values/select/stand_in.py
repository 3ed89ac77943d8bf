"""What a grid on the mean lattice will look like, in an eighth of the time: residuals of interpolation, no networks.

The error of a picture hardly depends on who predicts, because the steps are the same and the residual rule is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.values.lattice.chunks import ChunkComponent, chunks_of
from neuralvdb.values.lattice.coding import SymbolSink
from neuralvdb.values.lattice.constants import LAYERS, ROWS_AT_A_TIME, SCALE_CLASSES
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
from neuralvdb.volume.grid import Tree


def stand_in(tree: Tree, promise: Promise, devices: Sequence[str] = ()) -> Tree:
    """Nearly what a scalar tree decodes to under a promise of the mean lattice: the same values on every device.

    Raises OutOfMemory where a device has too little.
    """
    promise = replace(promise, ranges=ranges_of(tree, half=promise.mode.half))
    values = _on_devices(tree, promise, devices) if devices else _on_host(tree, promise)
    return replace(tree, leaf=replace(tree.leaf, values=values.reshape(tree.leaf.values.shape)))


def _on_host(tree: Tree, promise: Promise) -> np.ndarray:
    """Values (N, 512, 1) of all leaves."""
    lattice = NativeLattice(LatticeKind.MEAN, promise.quantiser, Predictor({}))
    decoded = LeafValues(tree, promise, np.empty_like(by_component(tree.leaf)))
    nowhere: Sequence[SymbolSink] = [_Nowhere()] * LAYERS
    for chunk in chunks_of(tree):
        component = ChunkComponent.of(tree, chunk, 0)
        decoded.fill(chunk, 0, lattice.encode(component, nowhere, np.zeros(SCALE_CLASSES)))
        for piece in pieces(len(component), ROWS_AT_A_TIME):
            leaves, true = chunk.leaves[piece], component.rows(piece)
            if promise.keeps_any(true):
                continue
            values = decoded.values[leaves, :, 0]
            decoded.values[leaves, :, 0] = np.where(promise.kept(true, values), values, true)  # outliers are exact
    return decoded.values


def _on_devices(tree: Tree, promise: Promise, devices: Sequence[str]) -> np.ndarray:
    """Twin of _on_host() on devices."""
    from neuralvdb.values.device.encoder import DeviceEncoder

    inputs_of = lattice_of(LatticeKind.MEAN).inputs_of
    networks = {key: interpolation_only(inputs_of(key.phase)) for key in KEYS}
    return DeviceEncoder(tree, promise, networks, np.zeros(SCALE_CLASSES), devices=devices).encode()[0]


class _Nowhere:
    """Forgets residuals."""

    def put(self, residuals: np.ndarray, scale_classes: np.ndarray) -> None:
        """As SymbolSink has it."""

    def end(self) -> None:
        """As SymbolSink has it."""
