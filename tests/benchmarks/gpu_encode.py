"""Encoding for gpu.py, by kernels alone: residuals, symbols, words and raw bits of every copy of a chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from gpu_copies import ROOT_CLASS, STEPS, predictor_of
from gpu_report import same

from neuralvdb.kernels import zigzag
from neuralvdb.kernels.bricks import Destination, Predictions
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import Encoded, Plan, encode

if TYPE_CHECKING:
    from gpu_copies import Copies


class Encoder:
    """Encodes all copies of `bricks`; every payload of every copy is a stream. Batches are pass after pass, and in each
    copy after copy."""

    def __init__(self, bricks: Copies) -> None:
        self._bricks = bricks
        arrays, copies, device = bricks.arrays, bricks.copies, bricks.expected.device
        self._codes, self._coded = arrays["codes"], arrays["coded"]
        counts = [len(bricks.root)] + [len(bricks.targets[6 * k + p]) for k in (3, 2, 1, 0) for p in range(6)]
        self._payload = arrays["payloads"][torch.tensor([0] + [o for o in range(4) for _ in range(6)], device=device)]
        self._passes, n = len(counts), torch.tensor(counts, device=device) // copies
        self._starts = torch.cat([n.new_zeros(1), n.repeat_interleave(copies).cumsum(0)])
        self._streams = int(self._payload[-1]) + 1
        self._plan = self._planned(n)

    def encoded(self, implementation: str = "auto") -> tuple[Encoded, torch.Tensor]:
        """All segments, and raw bits (M,) int32."""
        residuals, classes = self.residuals(implementation)
        symbols = self.symbols(residuals, classes)
        segments = self.segments(classes, symbols, implementation)
        return segments, self.bits(residuals, classes, symbols, implementation)

    def residuals(self, implementation: str = "auto") -> tuple[torch.Tensor, torch.Tensor]:
        """Residuals (n,) int32 and classes (n,) uint8 of all passes."""
        bricks = self._bricks
        exact = [bricks.tiled(f"{k}.exact") for k in range(5)]
        whole = (exact[4].view(-1)[bricks.root.points.long()] / STEPS[4]).round().to(torch.int32)  # a power of two
        by_copy = whole.view(bricks.copies, -1)
        residuals = [torch.diff(by_copy, prepend=torch.zeros_like(by_copy[:, :1])).reshape(-1)]
        classes = [torch.full_like(whole, ROOT_CLASS, dtype=torch.uint8)]

        def code(k: int, predictions: Predictions, destination: Destination) -> None:
            residuals.append(quantise(exact[k], predictions, destination, STEPS[k], implementation=implementation))
            classes.append(predictions.scale_classes)

        bricks.descend(bricks.values_from(whole * STEPS[4]), code, predictor_of(implementation))
        return torch.cat(residuals), torch.cat(classes)

    def symbols(self, residuals: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(n,) uint8."""
        return zigzag.symbols(residuals, classes, self._coded)

    def segments(self, classes: torch.Tensor, symbols: torch.Tensor, implementation: str = "auto") -> Encoded:
        """All segments."""
        return encode(self._codes, classes, symbols, self._plan, implementation=implementation)

    def bits(
        self, residuals: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, implementation: str = "auto"
    ) -> torch.Tensor:
        """Raw bits (M,) int32 of all streams, each from a word on."""
        raw = zigzag.raw(residuals, classes, symbols, self._starts)
        sizes = raw.sizes.view(self._passes, -1).T
        total = sizes.new_zeros((len(sizes), self._streams)).index_add_(1, self._payload, sizes)
        room = (total + 31) // 32
        first = (room.reshape(-1).cumsum(0).view(room.shape) - room) * 32
        begins = sizes.cumsum(1) - sizes - (total.cumsum(1) - total)[:, self._payload]
        base = (first[:, self._payload] + begins).T.reshape(-1)
        words = torch.zeros(int(room.sum()), dtype=torch.int32, device=residuals.device)
        pack(raw.values, base[raw.batch] + raw.at, words, implementation=implementation)
        return words

    def check(self, implementation: str = "auto") -> None:
        """Raises Different where what is encoded is not what the CPU encoded."""
        segments, bits = self.encoded(implementation)
        arrays, copies = self._bricks.arrays, self._bricks.copies
        wanted, theirs, raw = [], [], []
        for i in range(self._streams):
            at, end = (arrays[f"p{i}.{name}"] for name in ("at", "end"))
            theirs.append(arrays["words"][int(at[0]) : int(end[-1])])
            wanted.append(arrays[f"p{i}.states"])
            raw_bits = slice(int(arrays[f"p{i}.bits_at"]) // 8, int(arrays[f"p{i}.bits_end"]) // 8)
            data = arrays["bits"].view(torch.uint8)[raw_bits]
            raw.append(torch.nn.functional.pad(data, (0, -len(data) % 4)))
        pairs = {
            "states": (segments.states, torch.cat(wanted)),
            "words": (segments.words, torch.cat(theirs)),
            "raw bits": (bits.view(torch.uint8), torch.cat(raw)),
        }
        for name, (coded, expected) in pairs.items():
            by_copy = coded.reshape(copies, -1)
            same(f"{name} by {implementation}", expected.reshape(1, -1).expand(copies, -1), by_copy)

    def figures(self, seconds: Callable[[Callable[[], object]], float]) -> list[str]:
        """Lines on each step: time, and bytes that it must move."""
        residuals, classes = self.residuals()
        symbols = self.symbols(residuals, classes)
        n, words = len(residuals), self.segments(classes, symbols).words
        steps = {
            "predict and quantise": (self.residuals, n * (4 + 9 + 9 + 4 + 8 + 4 + 4)),
            "zigzag": (lambda: self.symbols(residuals, classes), n * (4 + 1 + 1)),
            "rans": (lambda: self.segments(classes, symbols), n * 2 + 2 * words.numel()),
            "raw bits": (lambda: self.bits(residuals, classes, symbols), n * 6),
        }
        lines = []
        for name, (job, moved) in steps.items():
            took = seconds(job)
            lines.append(f"{name}: {took * 1e3:.3f} ms, {n / took / 1e6:,.0f} M/s, {moved:,} bytes")
        return lines

    def _planned(self, n: torch.Tensor) -> Plan:
        """n: (passes,) int64, points of each pass in one copy."""
        copies, device = self._bricks.copies, n.device
        bounds = torch.stack([self._starts[:-1], self._starts[1:]], 1).view(self._passes, copies, 2)
        passes = torch.bincount(self._payload, minlength=self._streams)
        tensors = {name: [] for name in ("stream", "number", "count", "lanes", "sizes")}
        for i in range(self._streams):
            for name in ("number", "count", "lanes"):
                tensors[name].append(self._bricks.arrays[f"p{i}.{name}"])
            count = len(tensors["number"][-1])
            tensors["stream"].append(torch.full((count,), i, dtype=torch.int32, device=device))
            cuts = n[self._payload == i, None] * torch.arange(count + 1, device=device) // max(count, 1)
            tensors["sizes"].append(cuts.sum(0).diff())
        joined = {name: torch.cat(pieces).repeat(copies) for name, pieces in tensors.items()}
        copy = torch.arange(copies, dtype=torch.int32, device=device).repeat_interleave(len(joined["stream"]) // copies)
        return Plan(
            batches=bounds.transpose(0, 1).reshape(-1, 2).contiguous(),
            begins=torch.cat([passes.new_zeros(1), passes.repeat(copies).cumsum(0)]),
            stream=joined["stream"] + copy * self._streams,
            number=joined["number"],
            count=joined["count"],
            lanes=joined["lanes"],
            ends=joined["sizes"].cumsum(0),
        )
