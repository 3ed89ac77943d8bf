"""Symbols of many rANS streams, all segments at once: decoded a batch of each at a time, encoded whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neuralvdb.kernels.dispatch import checked, select

LANES = 32  # at most, and the width of every row of states
TOTAL, LOW = 1 << 12, 1 << 16


@dataclass(frozen=True, kw_only=True)
class Segments:
    """S segments of D streams between two batches; `states`, `at` and `taken` move on as symbols are decoded.

    stream: (S,) int32, the stream of each segment;
    number, count: (S,) int32, which of how many segments of its stream it is;
    lanes: (S,) int32, at most 32;
    states: (S, 32) int32, the bits of uint32;
    words: (W,) int16, the bits of uint16, of all segments;
    at, end: (S,) int64, the next word, and behind the last one;
    taken: (S,) int64, symbols taken so far;
    selected: (n,) int64, numbers of the segments that symbols are taken from; None for all.
    """

    stream: torch.Tensor
    number: torch.Tensor
    count: torch.Tensor
    lanes: torch.Tensor
    states: torch.Tensor
    words: torch.Tensor
    at: torch.Tensor
    end: torch.Tensor
    taken: torch.Tensor
    selected: torch.Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.stream)
        if self.selected is not None:
            checked("selected", self.selected, torch.int64, None)
        for name in ("stream", "number", "count", "lanes"):
            checked(name, getattr(self, name), torch.int32, count)
        for name in ("at", "end", "taken"):
            checked(name, getattr(self, name), torch.int64, count)
        checked("states", self.states, torch.int32, count, LANES)
        checked("words", self.words, torch.int16, None)

    def ended(self) -> torch.Tensor:
        """(S,) bool: whether exactly the words of a segment were taken, and its states are where encoders begin."""
        lane = torch.arange(LANES, device=self.states.device)
        return (self.at == self.end) & ((self.states == LOW) | (lane >= self.lanes[:, None])).all(1)


def decode(
    slots: torch.Tensor,
    classes: torch.Tensor,
    starts: torch.Tensor,
    segments: Segments,
    *,
    symbols: torch.Tensor | None = None,
    implementation: str = "auto",
) -> torch.Tensor:
    """The next symbols (n,) uint8 of every stream; the segments move on.

    slots: (K, 4096) int32, by scale class and low bits of a state: symbol, frequency - 1 << 8, slot - start << 20;
    classes: (n,) uint8, below K, stream after stream;
    starts: (D + 1,) int64, where each stream begins;
    symbols: (n,) uint8, room for them.

    Where words run out 0 is read, and segments.ended() will tell. Raises ValueError on other shapes or types.
    """
    checked("slots", slots, torch.int32, None, TOTAL)
    checked("classes", classes, torch.uint8, None)
    checked("starts", starts, torch.int64, None)
    if symbols is not None:
        checked("symbols", symbols, torch.uint8, len(classes))
    run = select(__name__, "decode", implementation, classes)
    decoded: torch.Tensor = run(slots, classes, starts, segments, symbols)
    return decoded


@dataclass(frozen=True, kw_only=True)
class Plan:
    """S segments of P streams that are to be written.

    batches: (N, 2) int64, where each batch begins and ends among the symbols, stream after stream;
    begins: (P + 1,) int64, where the batches of each stream begin;
    stream, number, count, lanes: (S,) int32 as in Segments;
    ends: (S,) int64, how many symbols a segment and all before it have together.
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


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """S segments as they are written, one after the other.

    states: (S, 32) int32, the bits of uint32;
    words: (W,) int16, the bits of uint16;
    sizes: (S,) int64, how many words each segment has.
    """

    states: torch.Tensor
    words: torch.Tensor
    sizes: torch.Tensor


def encode(
    codes: torch.Tensor,
    classes: torch.Tensor,
    symbols: torch.Tensor,
    plan: Plan,
    *,
    implementation: str = "auto",
) -> Encoded:
    """All segments of a plan. The host waits for the device once, for W.

    codes: (K, 64) int32, by scale class and symbol: frequency - 1, start << 12;
    classes: (n,) uint8, below K;
    symbols: (n,) uint8, below 64, whose frequencies must not be 0.

    Raises ValueError on other shapes or types.
    """
    checked("codes", codes, torch.int32, None, 64)
    checked("classes", classes, torch.uint8, None)
    checked("symbols", symbols, torch.uint8, len(classes))
    loose: Encoded = select(__name__, "encode", implementation, classes)(codes, classes, symbols, plan)
    sizes = loose.sizes
    before = sizes.cumsum(0) - sizes
    where = torch.repeat_interleave(plan.ends - sizes - before, sizes)
    where += torch.arange(len(where), device=where.device)
    return Encoded(states=loose.states, words=loose.words[where], sizes=sizes)
