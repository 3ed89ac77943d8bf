"""Predictions of whole passes, by the definition in NumPy or by its fast twin in C++: the same integers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuralvdb.nets.network import Network
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.values import _lattice
from neuralvdb.values.lattice import network
from neuralvdb.values.lattice.coding import View
from neuralvdb.values.lattice.inputs import InputLayout
from neuralvdb.values.lattice.mean_inputs import MeanView
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.pass_order import NetworkKey, Pass
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.sample_inputs import SampleView

_RULES = ("sample", "active_only", "mean")  # how C++ makes the base and what it masks (native/predict.h)
_PRODUCTS = (
    "floats",
    "pairs",
    "native",
)  # what C++ may compute networks in (native/network.h); native: the best it has


class Predictor:
    """The networks of one family, callable for a pass.

    networks: by key
    threads: that share the points of a pass
    implementation: "native", "pairs" or "floats", which are that with slower products, or "reference"
    """

    def __init__(
        self, networks: Mapping[NetworkKey, Network], *, threads: int = 1, implementation: str = "native"
    ) -> None:
        self._networks, self._threads = networks, threads
        self._reference = implementation == "reference"
        products = 0 if self._reference else _PRODUCTS.index(implementation)
        self._prepared = {key: (*pack_for_native(net, np.float32), products) for key, net in networks.items()}

    def __call__(self, view: View, points: Points, coding: Pass) -> Predictions:
        """Predictions for points of a pass."""
        if self._reference:
            return network.predict(self._networks[coding.network], view.inputs(points, coding))
        return self._native(view, points, coding)

    def _native(self, view: View, points: Points, coding: Pass) -> Predictions:
        level = view.level
        sources = [(level.values, level.active)]
        share, rule = None, _RULES.index("sample")
        if isinstance(view, MeanView):
            sources.append((view.differences.values, view.differences.active))
            share, rule = view.share, _RULES.index("mean")
        elif isinstance(view, SampleView) and view.active_only:
            rule = _RULES.index("active_only")
        predictions = Predictions(np.empty(len(points), np.int32), np.empty(len(points), np.uint8))
        _lattice.predict(
            (level.table, level.cells.astype(np.int32), sources, share),
            (rule, coding.axis, coding.quant_step, *_layout(view.layout(coding))),
            self._prepared[coding.network],
            points.index,
            self._threads,
            (predictions.values, predictions.scale_classes),
        )
        return predictions


def _layout(layout: InputLayout) -> tuple[list[tuple[np.ndarray, int, bool, bool]], list[int], int]:
    """A layout as C++ takes it."""
    groups = [(g.offsets.astype(np.int32), g.source, g.centred, g.scaling) for g in layout.groups]
    return groups, list(layout.line), layout.scales
