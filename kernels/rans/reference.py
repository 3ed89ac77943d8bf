"""torch transcription of archive/rans.py: one symbol after the other.

Of the n symbols that a stream has in a batch, segment g of S has those from g n div S up to (g + 1) n div S; symbol j
of all that a segment ever has belongs to lane j mod L. With x the lane's state, t = x mod 4096 and s the symbol whose
frequencies f[s], starting at c[s], hold t:

    x = f[s] * (x div 4096) + t - c[s]
    if x < 2^16:  x = x * 2^16 + the segment's next word

Encoding is the inverse, from the last symbol to the first, and begins with all states at 2^16; each word goes before
those put so far:

    if x >= f[s] * 2^20:  the next word is x mod 2^16, x = x div 2^16
    x = (x div f[s]) * 4096 + c[s] + x mod f[s]
"""

from __future__ import annotations

import torch

from neuralvdb.kernels.rans import Encoded, Plan, Segments

_TOTAL, _LOW, _MASK, _LANES = 1 << 12, 1 << 16, (1 << 32) - 1, 32


def decode(
    slots: torch.Tensor,
    classes: torch.Tensor,
    starts: torch.Tensor,
    segments: Segments,
    symbols: torch.Tensor | None = None,
) -> torch.Tensor:
    """Symbols (n,) uint8; arguments as in the package."""
    symbols = torch.zeros(len(classes), dtype=torch.uint8, device=classes.device) if symbols is None else symbols
    table, kinds, words = slots.cpu().numpy(), classes.tolist(), segments.words.tolist()
    bounds, states = starts.tolist(), segments.states.tolist()
    at, taken, out = segments.at.tolist(), segments.taken.tolist(), symbols.tolist()
    shapes = torch.stack([segments.stream, segments.number, segments.count, segments.lanes], 1).tolist()
    for g in range(len(shapes)) if segments.selected is None else segments.selected.tolist():
        stream, number, count, lanes = shapes[g]
        end = int(segments.end[g])
        first, n = bounds[stream], bounds[stream + 1] - bounds[stream]
        for i in range(first + number * n // count, first + (number + 1) * n // count):
            x = states[g][taken[g] % lanes] & _MASK
            slot = int(table[kinds[i], x % _TOTAL]) & _MASK
            out[i] = slot & 255
            x = ((slot >> 8) % _TOTAL + 1) * (x // _TOTAL) + (slot >> 20)
            if x < _LOW:
                x = x << 16 | ((words[at[g]] & 0xFFFF) if at[g] < end else 0)
                at[g] += 1
            states[g][taken[g] % lanes] = x - (x >> 31 << 32)
            taken[g] += 1
    moving = (segments.states, states), (segments.at, at), (segments.taken, taken), (symbols, out)
    for tensor, moved in moving:
        tensor.copy_(torch.tensor(moved, dtype=tensor.dtype).view_as(tensor))
    return symbols


def encode(codes: torch.Tensor, classes: torch.Tensor, symbols: torch.Tensor, plan: Plan) -> Encoded:
    """Segments, each with its words at the end of its room: the last `sizes` words before its `ends`."""
    kinds, words = codes.cpu()[classes.long().cpu(), symbols.long().cpu()].tolist(), [0] * len(classes)
    batches, begins = plan.batches.tolist(), plan.begins.tolist()
    states, sizes = [], []
    shapes = torch.stack([plan.stream, plan.number, plan.count, plan.lanes], 1).tolist()
    for (stream, number, count, lanes), end in zip(shapes, plan.ends.tolist(), strict=True):
        pieces = [(a, b - a) for a, b in batches[begins[stream] : begins[stream + 1]]]
        order = [i for a, n in pieces for i in range(a + number * n // count, a + (number + 1) * n // count)]
        state, at = [_LOW] * _LANES, end
        for j in reversed(range(len(order))):
            frequency, start = kinds[order[j]] % _TOTAL + 1, kinds[order[j]] >> 12
            x = state[j % lanes]
            if x >= frequency << 20:
                at -= 1
                words[at], x = x & 0xFFFF, x >> 16
            state[j % lanes] = x // frequency * _TOTAL + start + x % frequency
        states.append([x - (x >> 31 << 32) for x in state])
        sizes.append(end - at)
    return Encoded(
        states=torch.tensor(states, dtype=torch.int32).view(-1, _LANES).to(classes.device),
        words=torch.tensor([x - (x >> 15 << 16) for x in words], dtype=torch.int16).to(classes.device),
        sizes=torch.tensor(sizes, dtype=torch.int64).to(classes.device),
    )
