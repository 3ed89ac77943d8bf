"""Predictions of whole passes, by the definition in NumPy or by its fast twin in C++: the same integers."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping

import numpy as np

from neuralvdb.nets.network import Network
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.values import _lattice
from neuralvdb.values.lattice import mean_inputs, network, sample_inputs
from neuralvdb.values.lattice.coding import View
from neuralvdb.values.lattice.mean_inputs import MeanView
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.pass_order import NetworkKey, Pass
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.sample_inputs import SampleView

RULES = ("sample", "active_only", "mean")  # how C++ makes the base and what it masks (native/predict.h)
_PRODUCTS = ("pairs", "avx2", "native")  # what C++ may compute networks in (native/network.h); native: the best it has


_prepared: dict[tuple[int, int], tuple[weakref.ref[Network], _lattice.Network]] = {}  # by identity and products


def _native_network(net: Network, products: int) -> _lattice.Network:
    """A network as C++ takes it, made once: networks are not changed."""
    key = id(net), products
    kept = _prepared.get(key)
    if kept is None or kept[0]() is not net:
        of_net = weakref.ref(net, lambda _: _prepared.pop(key, None))
        kept = _prepared[key] = (of_net, _lattice.Network((*pack_for_native(net, np.int32), products)))
    return kept[1]


class Predictor:
    """The networks of one family, callable for a pass. native: as C++ takes them, by key; none of the
    reference.

    networks: by key
    threads: that share the points of a pass
    implementation: "native", "pairs" or "avx2", which are that with the products of simpler processors, or "reference"
    """

    def __init__(
        self, networks: Mapping[NetworkKey, Network], *, threads: int = 1, implementation: str = "native"
    ) -> None:
        self._networks, self.threads = networks, threads
        self._reference = implementation == "reference"
        self.native: dict[NetworkKey, _lattice.Network] = {}
        if not self._reference:
            products = _PRODUCTS.index(implementation)
            self.native = {key: _native_network(net, products) for key, net in networks.items()}

    def __call__(self, view: View, points: Points, coding: Pass) -> Predictions:
        """Predictions for points of a pass."""
        if self._reference:
            return network.predict(self._networks[coding.network], view.inputs(points, coding))
        return self._native(view, points, coding)

    def _native(self, view: View, points: Points, coding: Pass) -> Predictions:
        level = view.level
        sources = [(level.values, level.active)]
        share, rule = None, RULES.index("sample")
        if isinstance(view, MeanView):
            sources.append((view.differences.values, view.differences.active))
            share, rule = view.share, RULES.index("mean")
        elif isinstance(view, SampleView) and view.active_only:
            rule = RULES.index("active_only")
        predictions = Predictions(np.empty(len(points), np.int32), np.empty(len(points), np.uint8))
        _lattice.predict(
            (level.table, level.cells.astype(np.int32), sources, share),
            (
                rule,
                coding.axis,
                coding.quant_step,
                native_layout(isinstance(view, MeanView), coding.axis, coding.phase),
            ),
            self.native[coding.network],
            points.index,
            self.threads,
            (predictions.values, predictions.scale_classes),
        )
        return predictions


@functools.cache
def native_layout(mean: bool, axis: int, phase: int) -> _lattice.Layout:
    """The inputs of a pass, of the mean or the sample lattice, as C++ takes them."""
    layout = mean_inputs.layout(axis, phase) if mean else sample_inputs.layout(axis, phase)
    groups = [(g.offsets.astype(np.int32), g.source, g.centred, g.scaling) for g in layout.groups]
    return _lattice.Layout(groups, list(layout.line), layout.scales)
