"""Symbol buffers as payloads, on a device: all streams of a batch of chunks at once.

Each chunk and component has a payload for every section that the chunk gets (values/chunk_sections.py); archive/rans.py
has the bytes.
"""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.archive import rans
from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels import zigzag
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.rans import Plan, encode
from neuralvdb.values import chunk_sections
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.constants import LAYERS

Sections = list[tuple[range, list[bytes]]]  # layers of each section, and the payload of each component
_WORD = 32  # bits


def write(
    buffer: SymbolBuffer, components: int, tables: Tables, device: torch.device, implementation: str
) -> list[Sections]:
    """The sections of each chunk; buffer: of all chunks of one component after those of another."""
    symbols = _Symbols(buffer, tables, device)
    sizes = symbols.sizes().reshape(components, -1, LAYERS).sum(0)
    cuts = [chunk_sections.cut(of_chunk.tolist()) for of_chunk in sizes]
    sections = [layers for of_chunk in cuts for layers in of_chunk]
    payloads = symbols.payloads(cuts * components, implementation)
    of_sections = iter(payloads[number :: len(sections)] for number in range(len(sections)))
    return [[(layers, next(of_sections)) for layers in of_chunk] for of_chunk in cuts]


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """What becomes a payload.

    batches: numbers of its batches;
    raw: bits of the raw values of each batch;
    segments, lanes: that it is written in.
    """

    batches: np.ndarray
    raw: np.ndarray
    segments: int
    lanes: int


class _Symbols:
    """A symbol buffer on a device, its residuals as symbols and raw values."""

    def __init__(self, buffer: SymbolBuffer, tables: Tables, device: torch.device) -> None:
        self._buffer, self._device = buffer, device
        residuals, self._classes = buffer.residuals.to(device), buffer.classes.to(device)
        starts = self._to(buffer.starts)
        self._symbols = zigzag.symbols(residuals, self._classes, self._to(tables.freq > 0))
        self._raw = zigzag.raw(residuals, self._classes, self._symbols, starts)
        self._codes = self._to(tables.codes.view(np.int32))
        lengths = self._to(rans.code_lengths(tables.freq))[self._classes.long(), self._symbols.long()]
        before = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        self._lengths = before[starts].diff().cpu().numpy()  # of batches' symbols, in 2^-20 bits
        self._bits = self._raw.sizes.cpu().numpy()

    def sizes(self) -> np.ndarray:
        """(D, LAYERS) int64: bytes of each layer of each chunk, states and sizes aside."""
        passes = [np.nonzero(self._buffer.layers == layer)[0] for layer in range(LAYERS)]
        lengths, bits = (array.reshape(-1, self._buffer.chunks) for array in (self._lengths, self._bits))
        return np.stack([(lengths[layer].sum(0) >> 20) + bits[layer].sum(0) >> 3 for layer in passes], 1)

    def payloads(self, cuts: list[list[range]], implementation: str) -> list[bytes]:
        """Those of all sections of all chunks; cuts: layers of each section of each chunk."""
        streams = [self._stream(d, layers) for d, of_chunk in enumerate(cuts) for layers in of_chunk]
        bits, plan = self._packed(streams, implementation), self._plan(streams)
        encoded = encode(self._codes, self._classes, self._symbols, plan, implementation=implementation)
        states = encoded.states.cpu().numpy().view(np.uint32)
        words, sizes = encoded.words.cpu().numpy(), encoded.sizes.cpu().numpy()
        segments = np.cumsum([0, *(stream.segments for stream in streams)])
        ends = np.cumsum([0, *sizes])
        payloads = []
        for stream, raw, begin, end in zip(streams, bits, segments[:-1], segments[1:], strict=True):
            data = words[ends[begin] : ends[end]].astype("<i2").tobytes()
            payloads.append(rans.payload(raw, states[begin:end, : stream.lanes], sizes[begin:end].tolist(), data))
        return payloads

    def _stream(self, d: int, layers: range) -> _Stream:
        passes = np.nonzero(np.isin(self._buffer.layers, layers))[0]
        batches = passes * self._buffer.chunks + d
        symbols = np.diff(self._buffer.starts)[batches].sum()
        segments, lanes = rans.layout(int(symbols), int(self._lengths[batches].sum()) >> 20)
        return _Stream(batches=batches, raw=self._bits[batches], segments=segments, lanes=lanes)

    def _plan(self, streams: list[_Stream]) -> Plan:
        starts = self._buffer.starts
        batches = np.concatenate([stream.batches for stream in streams])
        counts = [stream.segments for stream in streams]
        owner = np.repeat(np.arange(len(streams)), counts)
        pieces = [np.diff(starts)[s.batches, None] * np.arange(s.segments + 1) // max(s.segments, 1) for s in streams]
        sizes = np.concatenate([np.diff(cuts.sum(0)) for cuts in pieces])
        return Plan(
            batches=self._to(np.stack([starts[batches], starts[batches + 1]], 1)),
            begins=self._to(np.cumsum([0, *(len(stream.batches) for stream in streams)])),
            stream=self._to(owner.astype(np.int32)),
            number=self._to(np.concatenate([np.arange(count, dtype=np.int32) for count in counts])),
            count=self._to(np.array(counts, np.int32)[owner]),
            lanes=self._to(np.array([stream.lanes for stream in streams], np.int32)[owner]),
            ends=self._to(np.cumsum(sizes)),
        )

    def _packed(self, streams: list[_Stream], implementation: str) -> list[bytes]:
        """The raw bits of each payload."""
        totals = np.array([stream.raw.sum() for stream in streams])
        firsts = np.cumsum([0, *-(-totals // _WORD)])
        base = np.empty(len(self._bits), np.int64)  # the bit that each batch begins with
        for stream, first in zip(streams, firsts, strict=False):
            base[stream.batches] = first * _WORD + np.cumsum(stream.raw) - stream.raw
        words = torch.zeros(int(firsts[-1]), dtype=torch.int32, device=self._device)
        at = self._to(base)[self._raw.batch] + self._raw.at
        pack(self._raw.values, at, words, implementation=implementation)
        data = words.cpu().numpy().astype("<i4").view(np.uint8)
        return [data[4 * first :][: -(-total // 8)].tobytes() for first, total in zip(firsts, totals, strict=False)]

    def _to(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
