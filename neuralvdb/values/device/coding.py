"""How a pass is coded on a device: an encoder keeps residuals, a decoder takes them from streams.

Both write the values as they decode, so lattices predict and descend in the same way for both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch

from neuralvdb.kernels.bricks import Destination, Predictions, Targets
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import decode as decode_symbols
from neuralvdb.kernels.reconstruct import reconstruct, scratch_size
from neuralvdb.values.device.quantiser import scalar_as
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.pass_order import Pass

_GROWTH = 2  # of room, beyond what is needed now


class ExactValues(Protocol):
    """The exact lattice values of a batch."""

    def top(self) -> torch.Tensor:
        """(R, 512) floats: those of the coarsest level."""

    def level(self, level: int) -> torch.Tensor:
        """(R, 512) floats: those that are coded on a level; levels come from the coarsest to the finest."""


class PassCoder(Protocol):
    """Codes all passes of a batch, coarse to fine."""

    def root(self, targets: Targets, quant_step: int, scale_class: int) -> torch.Tensor:
        """(n,) int64: the coarsest values, in lattice units, not clamped."""

    def room(self, n: int) -> Predictions | None:
        """Room for predictions of a pass of n points; None where they are kept."""

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """Codes a pass; the destination gets its values as they decode."""


class PassEncoder:
    """Quantises exact values and appends the residuals to a buffer.

    dead_zone: (64,) float64, how much residuals of each scale class are rounded towards zero; None to round to the
    nearest.
    """

    def __init__(
        self, exact: ExactValues, buffer: SymbolBuffer, dead_zone: torch.Tensor | None, implementation: str
    ) -> None:
        self._exact, self._buffer, self._dead_zone = exact, buffer, dead_zone
        self._implementation = implementation

    def root(self, targets: Targets, quant_step: int, scale_class: int) -> torch.Tensor:
        """As in PassCoder."""
        exact = self._exact.top().view(-1)[targets.points.long()]
        whole = (exact / scalar_as(quant_step, exact)).round_().to(torch.int32)
        self._buffer.put_root(whole, targets.starts, scale_class)
        return whole.long() * quant_step

    def room(self, n: int) -> None:
        """As in PassCoder: the buffer keeps scale classes."""

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """As in PassCoder."""
        residuals = quantise(
            self._exact.level(pass_.level),
            predictions,
            destination,
            pass_.quant_step,
            dead_zone=self._dead_zone,
            implementation=self._implementation,
        )
        self._buffer.put(residuals, predictions.scale_classes, destination.targets.starts, pass_.layer)


class Rooms:
    """Tensors that passes share, each by its name; they grow from level to level."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rooms: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, n: int, dtype: torch.dtype) -> torch.Tensor:
        """The first n numbers of one."""
        room = self._rooms.get(name)
        if room is None or len(room) < n:
            self._rooms[name] = room = torch.empty(_GROWTH * n, dtype=dtype, device=self._device)
        return room[:n]

    def predictions(self, n: int) -> Predictions:
        """Room for those of n points."""
        return Predictions(values=self("values", n, torch.int64), scale_classes=self("classes", n, torch.uint8))


class PassDecoder:
    """Takes residuals from streams. slots: as neuralvdb.kernels.rans takes them. Damage shows in streams.finish()."""

    def __init__(self, streams: Streams, slots: torch.Tensor, implementation: str) -> None:
        self._streams, self._slots, self._implementation = streams, slots, implementation
        self._room = Rooms(slots.device)

    def root(self, targets: Targets, quant_step: int, scale_class: int) -> torch.Tensor:
        """As in PassCoder: the sums of the first residuals of each stream."""
        n, device = len(targets), targets.points.device
        values = torch.empty(n, dtype=torch.int32, device=device)
        zeros = torch.zeros(n, dtype=torch.int64, device=device)
        classes = torch.full((n,), scale_class, dtype=torch.uint8, device=device)
        numbers = torch.arange(n, dtype=torch.int32, device=device)
        numbered = Targets(points=numbers, starts=targets.starts)
        self._take(0, 1, Predictions(values=zeros, scale_classes=classes), Destination(targets=numbered, values=values))
        sums = torch.cat([zeros[:1], values.cumsum(0)]) if n else zeros
        stream = torch.searchsorted(targets.starts, numbers.long(), right=True) - 1
        return (sums[1:] - sums[targets.starts[stream]]) * quant_step

    def room(self, n: int) -> Predictions:
        """As in PassCoder: the same for every pass."""
        return self._room.predictions(n)

    def code(self, pass_: Pass, predictions: Predictions, destination: Destination) -> None:
        """As in PassCoder."""
        self._take(pass_.layer, pass_.quant_step, predictions, destination)

    def _take(self, layer: int, quant_step: int, predictions: Predictions, destination: Destination) -> None:
        segments, bits = self._streams.layer(layer)
        n = len(destination.targets)
        symbols = decode_symbols(
            self._slots,
            predictions.scale_classes,
            destination.targets.starts,
            segments,
            symbols=self._room("symbols", n, torch.uint8),
            implementation=self._implementation,
        )
        reconstruct(
            symbols,
            predictions,
            destination,
            quant_step,
            replace(bits, scratch=self._room("scratch", scratch_size(n, bits.streams), torch.int64)),
            implementation=self._implementation,
        )
