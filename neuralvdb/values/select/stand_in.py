"""What a grid on the mean lattice will look like, in an eighth of the time: residuals of interpolation, no networks.

The error of a picture hardly depends on who predicts, because the steps are the same and the residual rule is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.values.lattice.chunks import ChunkComponent, chunks_of
from neuralvdb.values.lattice.coding import SymbolSink, View
from neuralvdb.values.lattice.constants import EDGE, LAYERS, ROWS_AT_A_TIME, SCALE_CLASSES, SLOTS
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.levels import LatticeLevel, pieces
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.network_changes import interpolation_only
from neuralvdb.values.lattice.pass_order import KEYS, Pass
from neuralvdb.values.lattice.points import Points
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
    lattice = lattice_of(LatticeKind.MEAN)(quantiser=promise.quantiser, predictor=_Interpolation())
    decoded = LeafValues(tree, promise, np.empty_like(by_component(tree.leaf)))
    nowhere: Sequence[SymbolSink] = [_Nowhere()] * LAYERS
    for chunk in chunks_of(tree):
        component = ChunkComponent.of(tree, chunk, 0)
        decoded.fill(chunk, 0, lattice.encode(component, nowhere))
        for piece in pieces(len(component), ROWS_AT_A_TIME):
            leaves, true = chunk.leaves[piece], component.rows(piece)
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


class _Interpolation(Predictor):
    """Predicts as networks of zeros do, a whole level at a time."""

    def __init__(self) -> None:
        super().__init__({})
        self._level: LatticeLevel | None = None
        self._bases = np.zeros(0, np.int32)

    def __call__(self, view: View, points: Points, coding: Pass) -> Predictions:
        """The difference of the two halves of each cell by the cells beside it. No scale classes."""
        if view.level is not self._level:
            self._level, self._bases = view.level, _bases(view.level, coding.axis)
        return Predictions(self._bases[points.index], np.zeros(len(points), np.uint8))


def _bases(level: LatticeLevel, axis: int) -> np.ndarray:
    """(B, 512) int32: mean_inputs.MeanView's base of all cells of a level."""
    values, active = (_with_planes(level, cells, axis) for cells in (level.values, level.active))
    centre = values[:, 1:-1]
    before, behind = ((values[:, at] - centre) * active[:, at] for at in (slice(None, -2), slice(2, None)))
    bases = np.moveaxis((before - behind) >> 2, 1, 1 + axis)
    return np.ascontiguousarray(bases).reshape(-1, SLOTS)


def _with_planes(level: LatticeLevel, cells: np.ndarray, axis: int) -> np.ndarray:
    """(B, 10, 8, 8): the cells (R, 512) of each brick, the axis first, between the planes beside it."""
    bricks = np.moveaxis(cells.reshape(-1, EDGE, EDGE, EDGE), 1 + axis, 1)
    at, last = level.cells, level.table.shape[axis] - 1
    step = (np.arange(3) == axis).astype(np.int64)
    coded = bricks[: level.bricks]
    before = bricks[level.table[tuple(np.maximum(at - step, 0).T)], EDGE - 1]
    behind = bricks[level.table[tuple((at + step * (at < last)).T)], 0]
    low, high = at[:, axis] == 0, at[:, axis] == last
    before[low], behind[high] = coded[low, 0], coded[high, EDGE - 1]
    return np.concatenate([before[:, None], coded, behind[:, None]], axis=1)
