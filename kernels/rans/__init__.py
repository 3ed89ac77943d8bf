"""Symbols of many rANS streams: a batch of each, all segments at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.choice import checked, chosen

LANES = 32  # at most, and the width of every row of states
TOTAL, LOW = 1 << 12, 1 << 16


@dataclass
class Segments:
    """S segments of D streams between two batches, all on one device.

    stream, number, count, lanes: (S,) int32, whose it is, which of how many it is there, and its lanes, at most 32;
    states: (S, 32) int32, the bits of uint32; words: (W,) int16, the bits of uint16, of all segments; at: (S,) int64,
    the next word, end: (S,) int64, behind the last; seen: (S,) int64, symbols taken so far.
    """

    stream: torch.Tensor
    number: torch.Tensor
    count: torch.Tensor
    lanes: torch.Tensor
    states: torch.Tensor
    words: torch.Tensor
    at: torch.Tensor
    end: torch.Tensor
    seen: torch.Tensor

    def __post_init__(self) -> None:
        count = len(self.stream)
        for name in ("stream", "number", "count", "lanes"):
            checked(name, getattr(self, name), torch.int32, count)
        for name in ("at", "end", "seen"):
            checked(name, getattr(self, name), torch.int64, count)
        checked("states", self.states, torch.int32, count, LANES)
        checked("words", self.words, torch.int16, None)

    def ended(self) -> torch.Tensor:
        """(S,) bool: whether all words were taken, none that is not there, and all states are where encoders begin."""
        lane = torch.arange(LANES, device=self.states.device)
        return (self.at == self.end) & ((self.states == LOW) | (lane >= self.lanes[:, None])).all(1)


def decode(
    slots: torch.Tensor,
    classes: torch.Tensor,
    starts: torch.Tensor,
    segments: Segments,
    *,
    implementation: str = "auto",
) -> torch.Tensor:
    """The next symbols (n,) uint8 of every stream; the segments move on.

    slots: (K, 4096) int32, by class and low bits of a state: symbol, frequency - 1 << 8, slot - start << 20; classes:
    (n,) uint8, below K, stream after stream; starts: (D + 1,) int64, where each begins. Where words run out 0 is read,
    and segments.ended() will tell. Raises ValueError on other shapes or types.
    """
    checked("slots", slots, torch.int32, None, TOTAL)
    checked("classes", classes, torch.uint8, None)
    checked("starts", starts, torch.int64, None)
    return chosen(__name__, "decode", implementation, classes)(slots, classes, starts, segments)
