"""The residuals of all components of some chunks, on the host until it is known with which tables to write them."""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels import zigzag
from neuralvdb.values.lattice.constants import SCALE_CLASSES


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """Residuals (n,) int32, their scale classes (n,) uint8, where each chunk begins (D + 1,) int64, and the layer."""

    residuals: torch.Tensor
    classes: torch.Tensor
    starts: torch.Tensor
    layer: int


class SymbolBuffer:
    """U batches of residuals, pass after pass, and in each pass chunk after chunk, of D chunks.

    counts: (64, 64) int64, of symbols by scale class.

    After end():
    residuals: (n,) int32, and classes: (n,) uint8, on the host;
    starts: (U + 1,) int64;
    layers: (passes,) int64, the layer of each pass.
    """

    residuals: torch.Tensor
    classes: torch.Tensor
    starts: np.ndarray
    layers: np.ndarray

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.counts = np.zeros((SCALE_CLASSES, zigzag.ESCAPE + 1), np.int64)
        self._passes: list[_Pass] = []

    def put(self, residuals: torch.Tensor, classes: torch.Tensor, starts: torch.Tensor, layer: int) -> None:
        """Adds a pass: residuals (n,) int32, scale classes (n,) uint8, where each chunk begins (D + 1,) int64."""
        self._passes.append(_Pass(residuals=residuals, classes=classes, starts=starts, layer=layer))

    def put_root(self, values: torch.Tensor, starts: torch.Tensor, scale_class: int) -> None:
        """Adds the first pass: values (n,) int32, each as its difference to the one before in its chunk."""
        before = torch.cat([values.new_zeros(1), values])
        before[starts] = 0
        classes = torch.full((len(values),), scale_class, dtype=torch.uint8, device=values.device)
        self.put(values - before[:-1], classes, starts, 0)

    def end(self) -> None:
        """Ends the buffer: no pass will follow, and residuals leave the device."""
        passes, self._passes = self._passes, []
        residuals = torch.cat([each.residuals for each in passes])
        classes = torch.cat([each.classes for each in passes])
        pairs = classes.long() * (zigzag.ESCAPE + 1) + zigzag.symbols(residuals, classes)
        self.counts += torch.bincount(pairs, minlength=self.counts.size).view(self.counts.shape).cpu().numpy()
        self.layers = np.array([each.layer for each in passes])
        sizes = torch.stack([each.starts for each in passes]).cpu().numpy()
        self.starts = np.cumsum([0, *np.diff(sizes, axis=1).reshape(-1)])
        self.residuals, self.classes = residuals.cpu(), classes.cpu()
