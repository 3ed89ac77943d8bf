"""Leaf masks for gpu.py, decoded by kernels, and the networks that gpu_bricks.py wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from gpu_report import same

from neuralvdb.kernels.classify_masks import Cells, MaskLevel, Phase
from neuralvdb.kernels.classify_masks import decode as decode_masks
from neuralvdb.kernels.network import Packed
from neuralvdb.kernels.rans import Segments

OCTANTS = (0, 7, 3, 4, 5, 2, 6, 1)  # of phases


def packed(arrays: dict[str, torch.Tensor], prefix: str, columns: Iterable[int]) -> Packed:
    """The network that gpu_bricks.py wrote under a prefix."""
    names = (field.name for field in fields(Packed) if field.name != "columns")
    return Packed(**{name: arrays[f"{prefix}.{name}"] for name in names}, columns=tuple(columns))


class Masks:
    """Leaf masks as gpu_bricks.py wrote them, `copies` times side by side in one stream."""

    def __init__(self, path: Path, device: str, copies: int) -> None:
        with np.load(path) as file:
            names = [name for name in file.files if name.startswith(("m.", f"m{copies}."))]
            arrays = {name: torch.from_numpy(file[name]).to(device) for name in names}
        self.leaves = copies * len(arrays["m.near"])
        bricks, copy = len(arrays["m.near"]), torch.arange(copies, dtype=torch.int32, device=device)[:, None, None]
        near = arrays["m.near"] + bricks * torch.where(arrays["m.near"] < bricks, copy, copies - 1)
        self.near, self._slots = near.reshape(-1, 27), arrays["m.slots"]
        octants = arrays["m.octants"].repeat(copies)
        self._bricks = [torch.nonzero(octants == o)[:, 0].to(torch.int32) for o in OCTANTS]
        bits = arrays["m.expected"][:, :, None] >> torch.arange(8, dtype=torch.uint8, device=device) & 1
        self._expected = bits.reshape(-1, 512) != 0
        self._phases = {(k, p): self._phase(arrays, k, p) for k in range(4) for p in range(8)}
        names = [name for name in Segments.__dataclass_fields__ if name != "selected"]
        self._segments = {name: arrays[f"m{copies}.{name}"] for name in names}

    def decoded(self, implementation: str = "auto") -> tuple[torch.Tensor, Segments]:
        """States (leaves + 2, 512) int8 and where the stream ends."""
        segments = Segments(**{name: tensor.clone() for name, tensor in self._segments.items()})
        above = torch.zeros((self.leaves + 2, 1), dtype=torch.int8, device=self.near.device)
        above[-2], above[-1] = -1, 1
        for k in (3, 2, 1, 0):
            n, states = 8 >> k, above.clone()
            if k < 3:
                wide = above.view(-1, n // 2, 1, n // 2, 1, n // 2, 1).expand(-1, n // 2, 2, n // 2, 2, n // 2, 2)
                states = wide.reshape(-1, n**3).contiguous()
                parents = torch.nonzero(above[:-2].reshape(-1) == 0)[:, 0].to(torch.int32)
            level = MaskLevel(states=states, above=above, reference=None, near=self.near)
            for p in range(8):
                above_cells = self._bricks[p] if k == 3 else parents
                cells = Cells(
                    parents=above_cells, starts=torch.tensor([0, len(above_cells)], device=above_cells.device)
                )
                decode_masks(level, cells, self._phases[k, p], self._slots, segments, implementation=implementation)
            above = states
        return above, segments

    def check(self, implementation: str = "auto") -> None:
        """Raises Different where masks are not what was encoded."""
        states, segments = self.decoded(implementation)
        active = states[:-2].view(-1, *self._expected.shape) > 0
        same(f"masks by {implementation}", self._expected.expand_as(active), active)
        same(f"ends of masks by {implementation}", torch.ones_like(segments.at, dtype=torch.bool), segments.ended())

    def _phase(self, arrays: dict[str, torch.Tensor], k: int, p: int) -> Phase:
        prefix = f"m.{k}.{p}"
        network = packed(arrays, prefix, range(arrays[f"{prefix}.w1"].shape[1]))
        return Phase(octant=OCTANTS[p], points=arrays[f"{prefix}.points"], network=network)
