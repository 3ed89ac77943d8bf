"""The payloads of one component of some domains, on a device: what every domain takes each octave from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder
from neuralvdb.kernels.rans import Segments
from neuralvdb.kernels.reconstruct import RawBits


class Streams:
    """decoders: of each domain, by the octave that its payload begins with; none has been taken from.

    octave() must be called for octaves in order, from 0.
    """

    def __init__(self, decoders: Sequence[dict[int, Decoder]], device: str | torch.device) -> None:
        self._begins = [sorted(parts) for parts in decoders]
        self._decoders = [parts[o] for parts in decoders for o in sorted(parts)]
        streams = [d for d, parts in enumerate(decoders) for _ in parts]
        self._first = np.cumsum([0, *map(len, decoders)])
        self._segments, self._owner = segments_of(self._decoders, streams, device)
        self._bits = _bits(self._decoders, device)
        self._now: tuple[torch.Tensor, torch.Tensor, Segments, RawBits] | None = None
        self._octave = -1

    def octave(self, number: int) -> tuple[Segments, RawBits]:
        """What is taken from for an octave."""
        if number == self._octave:
            return self._now[2:]
        self._put_back()
        self._octave = number
        payloads = self._first[:-1] + [sum(o <= number for o in begins) - 1 for begins in self._begins]
        device = self._bits.at.device
        which = torch.from_numpy(payloads).to(device)
        some = torch.from_numpy(np.nonzero(np.isin(self._owner, payloads))[0]).to(device)
        names = ("stream", "number", "count", "lanes", "states", "at", "end", "seen")
        segments = replace(self._segments, **{name: getattr(self._segments, name)[some] for name in names})
        self._now = (some, which, segments, replace(self._bits, at=self._bits.at[which], end=self._bits.end[which]))
        return self._now[2:]

    def finish(self) -> None:
        """Raises DamagedFile unless what was taken ends where it should, as far as that shows in what was taken."""
        self._put_back()
        done = [o <= self._octave for begins in self._begins for o in [*(b - 1 for b in begins[1:]), 3]]
        begun = [o <= self._octave for begins in self._begins for o in begins]
        ended, at = self._segments.ended().cpu().numpy(), self._bits.at.cpu().numpy()
        dry = (self._segments.at > self._segments.end).cpu().numpy()
        starts = self._bit_starts
        for i, decoder in enumerate(self._decoders):
            mine = self._owner == i
            if begun[i]:
                decoder.taken(int(at[i] - starts[i]), dry=dry[mine], ended=ended[mine] if done[i] else None)

    @property
    def _bit_starts(self) -> np.ndarray:
        return 8 * np.cumsum([0, *(len(decoder.layout.bits) for decoder in self._decoders)])

    def _put_back(self) -> None:
        if self._now is not None:
            some, which, segments, bits = self._now
            for name in ("states", "at", "seen"):
                getattr(self._segments, name)[some] = getattr(segments, name)
            self._bits.at[which] = bits.at


def _bits(decoders: list[Decoder], device: str | torch.device) -> RawBits:
    layouts = [decoder.layout for decoder in decoders]
    sizes = [8 * len(layout.bits) for layout in layouts]
    joined = np.concatenate([layout.bits for layout in layouts])
    words = np.zeros(len(joined) // 4 + 3, np.int32)
    words.view(np.uint8)[: len(joined)] = joined
    ends = np.cumsum(sizes)
    return RawBits(*(torch.from_numpy(array).to(device) for array in (words, ends - sizes, ends)))
