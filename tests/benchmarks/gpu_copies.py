"""One chunk as gpu_bricks.py wrote it, many times side by side on a device, and how it is decoded by kernels alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from gpu_masks import packed
from gpu_report import same

from neuralvdb.kernels.bricks import Bricks, Destination, Neighbours, Predictions, Targets
from neuralvdb.kernels.predict import Stencil, StencilNetwork, predict
from neuralvdb.kernels.rans import Segments, decode
from neuralvdb.kernels.reconstruct import RawBits, reconstruct

PASSES = [(axis, phase) for axis in range(3) for phase in (0, 1)]
STEPS = (16, 11, 8, 6, 4)  # quantisation steps of levels 0 to 4
ROOT_CLASS = 40
TOP = 1 << 28


class PassCoder(Protocol):
    """Codes a pass of level k; writes the values to their destination."""

    def __call__(self, k: int, predictions: Predictions, destination: Destination) -> None:
        """Codes it."""


class Predictor(Protocol):
    """Predicts points."""

    def __call__(self, level: Bricks, points: torch.Tensor, predictor: StencilNetwork, step: int) -> Predictions:
        """Predictions of points."""


def predictor_of(implementation: str) -> Predictor:
    """The kernel's implementation."""
    return partial(predict, implementation=implementation)


Stream = tuple[Segments, RawBits]


class Copies:
    """One chunk as gpu_bricks.py wrote it, `copies` times side by side on a device: each with streams of its own."""

    def __init__(self, path: Path, device: str, copies: int = 1) -> None:
        with np.load(path) as file:
            self.arrays = {name: torch.from_numpy(file[name]).to(device) for name in file.files}
        self._device, self.copies = device, copies
        self.expected = self.arrays["expected"]
        self.voxels = copies * int(self.arrays["0.coded"].sum())
        self.active = [self.tiled(f"{k}.active") for k in range(5)]
        self.neighbours = [
            Neighbours(bricks=self._offset(f"{k}.neighbours", k), edges=self.tiled(f"{k}.edges")) for k in range(4)
        ]
        self.targets = [self._listed(f"{k}.targets.{p}", k) for k in range(4) for p in range(6)]
        self.root = self._listed("4.targets.0", 4)
        self.slots, self._payloads = self.arrays["slots"], self.arrays["payloads"].tolist()
        self.predictors: dict[tuple[int, int, int], StencilNetwork] = {}
        for key in [(k, axis, phase) for k in range(3) for axis, phase in PASSES]:
            stencil = Stencil(key[1], key[2])
            network = packed(self.arrays, str(key), stencil.columns())
            self.predictors[key] = StencilNetwork(stencil=stencil, network=network)

    def decoded(self, implementation: str = "auto") -> torch.Tensor:
        """(copies * R, 512) int32 of level 0."""
        streams = self.streams()

        def code(k: int, predictions: Predictions, destination: Destination) -> None:
            self._take(streams[max(3 - k, 0)], STEPS[k], predictions, destination, implementation)

        values = self.values_from(self.top(streams, implementation))
        self.descend(values, code, predictor_of(implementation))
        return values[0]

    def top(self, streams: list[Stream], implementation: str = "auto") -> torch.Tensor:
        """(n,) the coarsest values."""
        n = len(self.root)
        classes = torch.full((n,), ROOT_CLASS, dtype=torch.uint8, device=self._device)
        root, zeros = (torch.zeros(n, dtype=dtype, device=self._device) for dtype in (torch.int32, torch.int64))
        numbers = Targets(points=torch.arange(n, dtype=torch.int32, device=self._device), starts=self.root.starts)
        predictions = Predictions(values=zeros, scale_classes=classes)
        destination = Destination(targets=numbers, values=root)
        self._take(streams[0], 1, predictions, destination, implementation)
        return root.view(self.copies, -1).cumsum(1).reshape(-1) * STEPS[4]

    def _take(
        self, stream: Stream, step: int, predictions: Predictions, destination: Destination, implementation: str
    ) -> None:
        segments, bits = stream
        classes, starts = predictions.scale_classes, destination.targets.starts
        symbols = decode(self.slots, classes, starts, segments, implementation=implementation)
        reconstruct(symbols, predictions, destination, step, bits, implementation=implementation)

    def values_from(self, top: torch.Tensor) -> list[torch.Tensor]:
        """Values (copies * R, 512) int32 of each level, of which the coarsest points (n,) are known."""
        values = [self.tiled(f"{k}.values") for k in range(5)]
        values[4].view(-1)[self.root.points.long()] = top.clamp(-TOP, TOP).to(torch.int32)
        return values

    def descend(self, values: list[torch.Tensor], code: PassCoder, predicted: Predictor) -> None:
        """Calls `code` for every pass; it writes the values to their destination."""
        for k in reversed(range(4)):
            self._upsample(values, k)
            bricks = Bricks(values=values[k], active=self.active[k], neighbours=self.neighbours[k])
            for p, (axis, phase) in enumerate(PASSES):
                targets, predictor = self.targets[6 * k + p], self.predictors[min(k, 2), axis, phase]
                predictions = predicted(bricks, targets.points, predictor, STEPS[k])
                code(k, predictions, Destination(targets=targets, values=values[k]))

    def check(self, implementation: str = "auto", decoded: torch.Tensor | None = None) -> None:
        """Raises Different where what is decoded, here if it is not given, is not what the CPU decoded."""
        values = self.decoded(implementation) if decoded is None else decoded
        copied = values.view(self.copies, -1, 512)[:, : len(self.expected)]
        same(f"values by {implementation}", self.expected.expand_as(copied), copied)

    def finest(self) -> Bricks:
        """Level 0 of all copies."""
        return Bricks(values=self.tiled("0.values"), active=self.active[0], neighbours=self.neighbours[0])

    def _upsample(self, values: list[torch.Tensor], k: int) -> None:
        parent, octant = self._offset(f"{k}.parent", k + 1), self.tiled(f"{k}.octant")
        bricks = len(parent) // self.copies
        eighths = values[k + 1].view(-1, 2, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 8, 4, 4, 4)
        fine = values[k].view(self.copies, -1, 8, 8, 8)[:, :bricks, ::2, ::2, ::2]
        fine.copy_(eighths[parent.long(), octant.long()].view(self.copies, bricks, 4, 4, 4))

    def streams(self) -> list[Stream]:
        """Of each layer; payloads that go on are the same objects."""
        made: dict[int, Stream] = {}
        for payload in self._payloads:
            if payload not in made:
                tensors = {name: self.tiled(f"p{payload}.{name}") for name in ("number", "count", "lanes", "states")}
                tensors |= {name: self.tiled(f"p{payload}.{name}").clone() for name in ("at", "end", "taken")}
                each = len(tensors["number"]) // self.copies
                copy = torch.arange(self.copies, dtype=torch.int32, device=self._device)
                stream = copy[:, None].expand(-1, each).reshape(-1)
                at, end = (self.tiled(f"p{payload}.bits_{name}").clone() for name in ("at", "end"))
                bits = RawBits(words=self.arrays["bits"], at=at, end=end)
                made[payload] = Segments(stream=stream, words=self.arrays["words"], **tensors), bits
        return [made[payload] for payload in self._payloads]

    def tiled(self, name: str) -> torch.Tensor:
        array = self.arrays[name]
        return array.repeat(self.copies, *[1] * (array.ndim - 1))

    def _offset(self, name: str, k: int) -> torch.Tensor:
        """Row numbers of level k, those of each copy behind those of the one before."""
        array = self.arrays[name]
        copy = torch.arange(self.copies, dtype=torch.int32, device=self._device) * len(self.arrays[f"{k}.active"])
        return (array + copy.view(-1, *[1] * array.ndim)).reshape(-1, *array.shape[1:]).contiguous()

    def _listed(self, name: str, k: int) -> Targets:
        array = self.arrays[name]
        rows = len(self.arrays[f"{k}.active"])
        copy = torch.arange(self.copies, dtype=torch.int32, device=self._device) * (rows * 512)
        starts = torch.arange(self.copies + 1, device=self._device) * len(array)
        return Targets(points=(array + copy[:, None]).reshape(-1), starts=starts)
