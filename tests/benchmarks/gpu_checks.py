"""Networks and splits on random input, and networks in training, by kernels and by their references, for gpu.py."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from gpu_report import Different, same

from neuralvdb.kernels.fit import Examples, Learners, fit
from neuralvdb.kernels.network import Weights, forward, pack
from neuralvdb.kernels.split import Cells, Companding, Halves, split


def random_checks(device: str, n: int) -> None:
    """Networks and splits on fresh random input. Raises Different."""
    random = torch.Generator().manual_seed(time.time_ns())

    def draw(low: int, high: int, size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.randint(low, high, size, generator=random, dtype=dtype)

    shapes = ((64, 128), (32, 64), (2, 32), (2, 128))
    w1, w2, w3, linear = (draw(-127, 128, shape, torch.int8) for shape in shapes)
    b1, b2, b3 = (draw(-9999, 9999, (size,), torch.int32) for size in (64, 32, 2))
    shifts = draw(4, 12, (6,), torch.int8)
    weights = Weights(w1=w1, b1=b1, w2=w2, b2=b2, w3=w3, b3=b3, linear=linear, shifts=shifts)
    net = pack(weights, range(128)).to(device)
    inputs = draw(-127, 128, (n, 128), torch.int8).to(device)
    outs = [forward(inputs, net, implementation=name) for name in ("reference", "triton")]
    same("networks", *outs)
    for axis in range(3):
        means, differences = (draw(-(1 << 20), 1 << 20, (2, 512), torch.int32).to(device) for _ in range(2))
        counts, pairs = draw(0, 64, (4, 512), torch.int32).to(device), torch.arange(4, device=device).view(2, 2)
        made = []
        for name in ("reference", "triton"):
            fine = torch.full((2, 4, 512), -1, dtype=torch.int32, device=device)
            cells = Cells(means=means, companded=means, differences=differences)
            halves = Halves(axis=axis, pairs=pairs, counts=counts, means=fine[0], companded=fine[1])
            split(cells, halves, Companding(knee=0, nonnegative=False), implementation=name)
            made.append(fine)
        same(f"split along axis {axis}", *made)


class Fitting:
    """Networks in training on a device, with the examples that gpu_bricks.py wrote."""

    def __init__(self, path: Path, device: str) -> None:
        with np.load(path) as file:
            arrays = {name[4:]: torch.from_numpy(file[name]).to(device) for name in file.files if name[:4] == "fit."}
        self._weights, self._device = arrays.pop("weights"), device
        self._examples = Examples(**arrays)
        self.networks = len(self._weights)
        ends = [*self._examples.extents[1:, 1].tolist(), len(self._examples.target)]
        self._counts = [end - begin for begin, end in zip(self._examples.extents[:, 1].tolist(), ends, strict=True)]

    def picks(self, steps: int, batch: int) -> torch.Tensor:
        """(T, K, B) int32, random."""
        picked = torch.stack([torch.randint(0, count, (steps, batch)) for count in self._counts], 1)
        return picked.to(torch.int32).to(self._device)

    def fitted(self, picks: torch.Tensor, implementation: str = "auto") -> tuple[torch.Tensor, torch.Tensor]:
        """Bits (T, K) of the steps, and weights after them."""
        zeros = torch.zeros_like(self._weights)
        nets = Learners(weights=self._weights.clone(), means=zeros, squares=zeros.clone())
        bits = fit(nets, self._examples, picks, [(1e-3, 0.9)] * len(picks), implementation=implementation)
        return bits, nets.weights

    def check(self, steps: int, batch: int) -> None:
        """Raises Different where the kernel's way is not that of the reference, within float tolerance."""
        picks = self.picks(steps, batch)
        (expected, weights), (bits, fitted_weights) = (self.fitted(picks, name) for name in ("reference", "triton"))
        if not torch.allclose(bits, expected, rtol=1e-3) or (fitted_weights - weights).abs().quantile(0.99) > 1e-4:
            raise Different("networks that a kernel fits are not those of its reference")
