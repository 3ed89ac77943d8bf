"""Frequency tables of the scale classes, from what was counted and a model where little was."""

from __future__ import annotations

import numpy as np

from neuralvdb.archive.rans import Tables, normalise
from neuralvdb.values.lattice.constants import CLASS_OF_ONE_STEP, ESCAPE, SCALE_CLASSES
from neuralvdb.values.lattice.residual import from_symbol, raw_width

_MODEL_COUNTS = 200.0  # counts that the model is worth
_RARE = 2e-5  # symbols less likely than this in the model, and never counted, escape
_TAIL, _WIDER = 0.12, 3.0  # share and width of the model's second logistic distribution


def tables_from_counts(counts: np.ndarray) -> Tables:
    """Tables for counts (64, 64) int64 of symbols by scale class."""
    model = np.stack([_model(scale_class) for scale_class in range(SCALE_CLASSES)])
    blend = counts + _MODEL_COUNTS * model
    blend[(counts == 0) & (model < _RARE)] = 0
    blend[:, ESCAPE] = np.maximum(blend[:, ESCAPE], blend.sum(1) * _RARE)
    return Tables(normalise(np.ceil(blend * 1000).astype(np.int64)))


def _model(scale_class: int) -> np.ndarray:
    """(64,) probabilities of a mixture of two logistic distributions of the class's scale."""
    width = 1 << int(raw_width(np.array([scale_class], np.uint8))[0])
    high = from_symbol(np.arange(ESCAPE))
    scale = 2.0 ** ((scale_class - CLASS_OF_ONE_STEP + 0.5) / 4) * 0.5
    cells = sum(
        share * (_cdf(((high + 1) * width - 0.5) / s) - _cdf((high * width - 0.5) / s))
        for share, s in ((1 - _TAIL, scale), (_TAIL, scale * _WIDER))
    )
    return np.append(cells, max(1 - cells.sum(), _RARE))


def _cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
