"""Arrays on a device, and payloads of rANS as neuralvdb.kernels.rans takes them. The one module of this layer that
needs torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neuralvdb.archive.rans import Decoder
from neuralvdb.archive.rans_engine import LOW
from neuralvdb.kernels.rans import LANES, Segments


def segments_of(
    decoders: Sequence[Decoder], streams: Sequence[int], device: torch.device | str
) -> tuple[Segments, np.ndarray]:
    """All segments of decoders, as far as symbols were taken, one after the other, and which decoder each belongs to.

    streams: the one that each decoder is of.
    """
    layouts = [decoder.layout for decoder in decoders]
    counts = [len(layout.states) for layout in layouts]
    owner = np.repeat(np.arange(len(layouts)), counts)
    states = np.full((len(owner), LANES), LOW, np.uint32)
    for i, layout in enumerate(layouts):
        states[owner == i, : layout.states.shape[1]] = layout.states
    before = np.repeat(np.cumsum([0, *(len(layout.words) for layout in layouts)])[:-1], counts)
    arrays = {
        "stream": np.array(streams, np.int32)[owner],
        "number": np.concatenate([np.zeros(0, np.int32), *(np.arange(count, dtype=np.int32) for count in counts)]),
        "count": np.array(counts, np.int32)[owner],
        "lanes": np.array([layout.states.shape[1] for layout in layouts], np.int32)[owner],
        "states": states.view(np.int32),
        "words": np.concatenate([layout.words for layout in layouts]).view(np.int16),
        "at": before + np.concatenate([layout.at for layout in layouts]),
        "end": before + np.concatenate([layout.ends for layout in layouts]),
        "taken": np.concatenate([layout.taken for layout in layouts]),
    }
    by_type: dict[np.dtype, list[str]] = {}
    for name, array in arrays.items():
        by_type.setdefault(array.dtype, []).append(name)
    tensors: dict[str, torch.Tensor] = {}
    for names in by_type.values():
        tensors |= zip(names, upload([arrays[name] for name in names], torch.device(device)), strict=True)
    return Segments(**tensors), owner


def upload(arrays: Sequence[np.ndarray], device: torch.device) -> list[torch.Tensor]:
    """Arrays of one type on a device, in one copy; each of them aligned as kernels expect it."""
    step = max(1, 16 // arrays[0].itemsize)
    rooms = [-(-array.size // step) * step for array in arrays]
    host = torch.empty(
        sum(rooms), dtype=torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype, pin_memory=device.type == "cuda"
    )
    joined, begin = host.numpy(), 0
    for array, room in zip(arrays, rooms, strict=True):
        joined[begin : begin + array.size] = array.reshape(-1)
        begin += room
    pieces = host.to(device, non_blocking=True).split(rooms)
    return [piece[: array.size].view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]
