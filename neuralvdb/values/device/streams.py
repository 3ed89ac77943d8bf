"""The payloads of one component of some chunks, on a device: where every chunk takes each layer from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.rans import Segments
from neuralvdb.kernels.reconstruct import RawBits
from neuralvdb.values.lattice.constants import LAYERS

_OF_SEGMENTS = ("stream", "number", "count", "lanes", "states", "at", "end", "taken")
_MOVING = ("states", "at", "taken")


@dataclass(frozen=True, kw_only=True)
class LayerStreams:
    """What a layer is taken from; both move on. selected: numbers of the segments; payloads: of each chunk."""

    segments: Segments
    bits: RawBits
    selected: torch.Tensor
    payloads: torch.Tensor


class Streams:
    """The payloads of D chunks.

    decoders: of each chunk, by the layer that its payload begins with; nothing has been taken from them.

    layer() must be called for layers in order, from 0.
    """

    def __init__(self, decoders: Sequence[Mapping[int, Decoder]], device: str | torch.device) -> None:
        self._begins = [sorted(payloads) for payloads in decoders]
        self._decoders = [payloads[layer] for payloads in decoders for layer in sorted(payloads)]
        streams = [d for d, payloads in enumerate(decoders) for _ in payloads]
        self._first = np.cumsum([0, *map(len, decoders)])
        self._segments, self._owner = segments_of(self._decoders, streams, device)
        self._bits = _bits(self._decoders, device)
        self._current: LayerStreams | None = None
        self._layer = -1

    def layer(self, number: int) -> LayerStreams:
        """What a layer is taken from."""
        if self._current is not None and number == self._layer:
            return self._current
        self._put_back()
        self._layer = number
        payloads = self._first[:-1] + [sum(layer <= number for layer in begins) - 1 for begins in self._begins]
        device = self._bits.at.device
        which = torch.from_numpy(payloads).to(device)
        selected = torch.from_numpy(np.nonzero(np.isin(self._owner, payloads))[0]).to(device)
        segments = replace(self._segments, **{name: getattr(self._segments, name)[selected] for name in _OF_SEGMENTS})
        bits = replace(self._bits, at=self._bits.at[which], end=self._bits.end[which])
        self._current = LayerStreams(segments=segments, bits=bits, selected=selected, payloads=which)
        return self._current

    def finish(self) -> None:
        """Raises DamagedFile unless every payload ends where it should, as far as that shows in what was taken."""
        self._put_back()
        ends = [layer for begins in self._begins for layer in [*(begin - 1 for begin in begins[1:]), LAYERS - 1]]
        begins = [layer for begins in self._begins for layer in begins]
        ended, at = self._segments.ended().cpu().numpy(), self._bits.at.cpu().numpy()
        dry = (self._segments.at > self._segments.end).cpu().numpy()
        first_bits = 8 * np.cumsum([0, *(len(decoder.layout.bits) for decoder in self._decoders)])
        for i, decoder in enumerate(self._decoders):
            segments = self._owner == i
            if begins[i] <= self._layer:
                bits = int(at[i] - first_bits[i])
                decoder.taken(bits, dry=dry[segments], ended=ended[segments] if ends[i] <= self._layer else None)

    def _put_back(self) -> None:
        if self._current is not None:
            for name in _MOVING:
                getattr(self._segments, name)[self._current.selected] = getattr(self._current.segments, name)
            self._bits.at[self._current.payloads] = self._current.bits.at


def _bits(decoders: list[Decoder], device: str | torch.device) -> RawBits:
    layouts = [decoder.layout for decoder in decoders]
    sizes = [8 * len(layout.bits) for layout in layouts]
    joined = np.concatenate([layout.bits for layout in layouts])
    words = np.zeros(len(joined) // 4 + 3, np.int32)
    words.view(np.uint8)[: len(joined)] = joined
    ends = np.cumsum(sizes)
    words, at, end = (torch.from_numpy(array).to(device) for array in (words, ends - sizes, ends))
    return RawBits(words=words, at=at, end=end)
