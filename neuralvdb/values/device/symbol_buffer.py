"""The residuals of one component of some domains, on the host until it is known with which tables to write them."""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.kernels import zigzag
from neuralvdb.values.lattice.network import CLASSES


class SymbolBuffer:
    """U batches, pass after pass and in each domain after domain, of D domains.

    counts: (64, 64) int64, of symbols by class. After end(): residuals (n,) int32 and classes (n,) uint8, on the host;
    starts: (U + 1,) int64; octaves: (passes,) int64, of each pass.
    """

    def __init__(self, domains: int) -> None:
        self.domains = domains
        self.counts = np.zeros((CLASSES, zigzag.ESCAPE + 1), np.int64)
        self._parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]] = []

    def put(self, residuals: torch.Tensor, classes: torch.Tensor, starts: torch.Tensor, octave: int) -> None:
        """Adds a pass: residuals (n,) int32, classes (n,) uint8, where each domain begins (D + 1,) int64."""
        self._parts.append((residuals, classes, starts, octave))

    def put_root(self, whole: torch.Tensor, starts: torch.Tensor, kind: int) -> None:
        """Adds the first pass: whole (n,) int32 as the difference to the one before in each domain, in class `kind`."""
        before = torch.cat([whole.new_zeros(1), whole])
        before[starts] = 0
        classes = torch.full((len(whole),), kind, dtype=torch.uint8, device=whole.device)
        self.put(whole - before[:-1], classes, starts, 0)

    def end(self) -> None:
        """Nothing more will be put; what was leaves the device."""
        residuals, classes, starts, octaves = zip(*self._parts, strict=True)
        self._parts.clear()
        residuals, classes = torch.cat(residuals), torch.cat(classes)
        pairs = classes.long() * (zigzag.ESCAPE + 1) + zigzag.symbols(residuals, classes)
        self.counts += torch.bincount(pairs, minlength=self.counts.size).view(self.counts.shape).cpu().numpy()
        self.octaves = np.array(octaves)
        sizes = torch.stack(starts).cpu().numpy()
        self.starts = np.cumsum([0, *np.diff(sizes, axis=1).reshape(-1)])
        self.residuals, self.classes = residuals.cpu(), classes.cpu()
