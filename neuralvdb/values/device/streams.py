"""The payloads of some chunks, on a device: where every chunk takes each layer from. Components are chunks here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from neuralvdb.archive.device import segments_of, upload
from neuralvdb.archive.rans import Decoder
from neuralvdb.kernels.rans import Segments
from neuralvdb.kernels.reconstruct import RawBits
from neuralvdb.values.lattice.constants import LAYERS


class Streams:
    """The payloads of D chunks.

    decoders: of each chunk, by the layer that its payload begins with; nothing has been taken from them.
    """

    def __init__(self, decoders: Sequence[Mapping[int, Decoder]], device: str | torch.device) -> None:
        self._begins = [sorted(payloads) for payloads in decoders]
        self._decoders = [payloads[layer] for payloads in decoders for layer in sorted(payloads)]
        streams = [d for d, payloads in enumerate(decoders) for _ in payloads]
        first = np.cumsum([0, *map(len, decoders)])[:-1]
        self._segments, self._owner = segments_of(self._decoders, streams, device)
        self._bits = _bits(self._decoders, torch.device(device))
        payloads = [
            first + [sum(begin <= layer for begin in begins) - 1 for begins in self._begins] for layer in range(LAYERS)
        ]
        segments = [np.flatnonzero(np.isin(self._owner, of_layer)) for of_layer in payloads]
        selected = upload([*payloads, *segments], torch.device(device))
        self._selected = list(zip(selected[LAYERS:], selected[:LAYERS], strict=True))
        self._layer = -1

    def layer(self, number: int) -> tuple[Segments, RawBits]:
        """What a layer is taken from; both move on."""
        self._layer = max(self._layer, number)
        segments, payloads = self._selected[number]
        return replace(self._segments, selected=segments), replace(self._bits, selected=payloads)

    def finish(self) -> None:
        """Raises DamagedFile unless every payload ends where it should, as far as that shows in what was taken.

        The host waits for the device.
        """
        ends = [layer for begins in self._begins for layer in [*(begin - 1 for begin in begins[1:]), LAYERS - 1]]
        begins = [layer for begins in self._begins for layer in begins]
        of_segments = torch.stack([self._segments.ended(), self._segments.at > self._segments.end]).long().view(-1)
        every = torch.cat([of_segments, self._bits.at]).cpu().numpy()
        ended, dry = every[: len(of_segments)].reshape(2, -1) != 0
        at = every[len(of_segments) :]
        first_bits = 8 * np.cumsum([0, *(len(decoder.layout.bits) for decoder in self._decoders)])
        for i, decoder in enumerate(self._decoders):
            segments = self._owner == i
            if begins[i] <= self._layer:
                bits = int(at[i] - first_bits[i])
                decoder.taken(bits, dry=dry[segments], ended=ended[segments] if ends[i] <= self._layer else None)


def _bits(decoders: list[Decoder], device: torch.device) -> RawBits:
    layouts = [decoder.layout for decoder in decoders]
    sizes = [8 * len(layout.bits) for layout in layouts]
    joined = np.concatenate([layout.bits for layout in layouts])
    words = np.zeros(len(joined) // 4 + 3, np.int32)
    words.view(np.uint8)[: len(joined)] = joined
    ends = np.cumsum(sizes)
    at, end = upload([ends - sizes, ends], device)
    return RawBits(words=upload([words], device)[0], at=at, end=end)
