"""The definition, in plain Python: one symbol after the other.

Of the n symbols that a stream has in a batch, segment g of S has those from g n div S up to (g + 1) n div S; symbol j
of all that a segment ever has belongs to lane j mod L. With x the lane's state, t = x mod 4096 and s the symbol whose
frequencies f[s], starting at c[s], hold t:

    x = f[s] * (x div 4096) + t - c[s]
    if x < 2^16:  x = x * 2^16 + the segment's next word

Encoding is the inverse, from the last symbol to the first, and begins with all states at 2^16; words are put before
those that are there:

    if x >= f[s] * 2^20:  the next word is x mod 2^16, x = x div 2^16
    x = (x div f[s]) * 4096 + c[s] + x mod f[s]

Twin of archive/rans.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from neuralvdb.kernels.rans import Plan, Segments

_TOTAL, _LOW, _MASK, _LANES = 1 << 12, 1 << 16, (1 << 32) - 1, 32


def decode(slots: torch.Tensor, classes: torch.Tensor, starts: torch.Tensor, segments: Segments) -> torch.Tensor:
    """Symbols (n,) uint8; arguments as in the package."""
    found = [0] * len(classes)
    table, kinds, words = slots.cpu().numpy(), classes.tolist(), segments.words.tolist()
    bounds, states = starts.tolist(), segments.states.tolist()
    at, seen = segments.at.tolist(), segments.seen.tolist()
    shapes = zip(
        *(getattr(segments, name).tolist() for name in ("stream", "number", "count", "lanes", "end")), strict=True
    )
    for g, (stream, number, count, lanes, end) in enumerate(shapes):
        first, n = bounds[stream], bounds[stream + 1] - bounds[stream]
        for i in range(first + number * n // count, first + (number + 1) * n // count):
            x = states[g][seen[g] % lanes] & _MASK
            slot = int(table[kinds[i], x % _TOTAL]) & _MASK
            found[i] = slot & 255
            x = ((slot >> 8) % _TOTAL + 1) * (x // _TOTAL) + (slot >> 20)
            if x < _LOW:
                x = x << 16 | ((words[at[g]] & 0xFFFF) if at[g] < end else 0)
                at[g] += 1
            states[g][seen[g] % lanes] = x - (x >> 31 << 32)
            seen[g] += 1
    for tensor, moved in ((segments.states, states), (segments.at, at), (segments.seen, seen)):
        tensor.copy_(torch.tensor(moved, dtype=tensor.dtype).view_as(tensor))
    return torch.tensor(found, dtype=torch.uint8, device=classes.device)


def encode(
    codes: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, plan: Plan
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States, room for all words, of which each segment has the last ones before its end, and how many those are."""
    kinds, found = codes.cpu()[classes.long().cpu(), symbols.long().cpu()].tolist(), [0] * len(classes)
    batches, begins = plan.batches.tolist(), plan.begins.tolist()
    states, sizes = [], []
    shapes = zip(
        *(getattr(plan, name).tolist() for name in ("stream", "number", "count", "lanes", "ends")), strict=True
    )
    for stream, number, count, lanes, end in shapes:
        pieces = [(a, b - a) for a, b in batches[begins[stream] : begins[stream + 1]]]
        order = [i for a, n in pieces for i in range(a + number * n // count, a + (number + 1) * n // count)]
        state, at = [_LOW] * _LANES, end
        for j in reversed(range(len(order))):
            frequency, start = kinds[order[j]] % _TOTAL + 1, kinds[order[j]] >> 12
            x = state[j % lanes]
            if x >= frequency << 20:
                at -= 1
                found[at], x = x & 0xFFFF, x >> 16
            state[j % lanes] = x // frequency * _TOTAL + start + x % frequency
        states.append([x - (x >> 31 << 32) for x in state])
        sizes.append(end - at)
    words = torch.tensor([x - (x >> 15 << 16) for x in found], dtype=torch.int16)
    made = torch.tensor(states, dtype=torch.int32).view(-1, _LANES), words, torch.tensor(sizes, dtype=torch.int64)
    return tuple(tensor.to(classes.device) for tensor in made)
