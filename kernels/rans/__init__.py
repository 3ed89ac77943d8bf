"""Symbols of many rANS streams, all segments at once: decoded a batch of each at a time, encoded whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, chosen

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


@dataclass
class Plan:
    """S segments of P streams that are to be written, all on one device.

    batches: (N, 2) int64, where each batch begins and ends among the symbols, stream after stream; begins: (P + 1,)
    int64, which of them are a stream's; stream, number, count, lanes: (S,) int32 as in Segments; ends: (S,) int64, what
    the symbols of a segment and of all before it are together.
    """

    batches: torch.Tensor
    begins: torch.Tensor
    stream: torch.Tensor
    number: torch.Tensor
    count: torch.Tensor
    lanes: torch.Tensor
    ends: torch.Tensor

    def __post_init__(self) -> None:
        count = len(self.stream)
        for name in ("stream", "number", "count", "lanes"):
            checked(name, getattr(self, name), torch.int32, count)
        checked("ends", self.ends, torch.int64, count)
        checked("batches", self.batches, torch.int64, None, 2)
        checked("begins", self.begins, torch.int64, None)


def encode(
    codes: torch.Tensor,
    classes: torch.Tensor,
    symbols: torch.Tensor,
    plan: Plan,
    *,
    implementation: str = "auto",
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States (S, 32) int32, words (W,) int16, both the bits of unsigned ones, and how many words each segment has, (S,)
    int64; those of all segments stand one after the other. Waits for the device once, for W.

    codes: (K, 64) int32, by class and symbol: frequency - 1, start << 12; classes: (n,) uint8, below K, and symbols:
    (n,) uint8, below 64, whose frequencies must not be 0. Raises ValueError on other shapes or types.
    """
    checked("codes", codes, torch.int32, None, 64)
    checked("classes", classes, torch.uint8, None)
    checked("symbols", symbols, torch.uint8, len(classes))
    states, room, sizes = chosen(__name__, "encode", implementation, classes)(codes, classes, symbols, plan)
    before = sizes.cumsum(0) - sizes
    place = torch.repeat_interleave(plan.ends - sizes - before, sizes)
    return states, room[place + torch.arange(len(place), device=place.device)], sizes
