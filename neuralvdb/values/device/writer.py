"""Records as payloads, on a device: all streams of a component of a batch of domains at once.

Of each domain and component there is a payload for every section that the domain gets (values/tiles.py);
archive/rans.py has the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from neuralvdb.archive import rans
from neuralvdb.archive.rans import Tables
from neuralvdb.kernels import zigzag
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.rans import Plan, encode
from neuralvdb.values import chunk_sections
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.levels import LAYERS

Sections = list[tuple[range, list[bytes]]]  # octaves of each section, and the payload of each component
_WORD = 32  # bits


def write(records: Sequence[SymbolBuffer], tables: Tables, device: torch.device, implementation: str) -> list[Sections]:
    """The sections of each domain; records: of each component."""
    made = [_Component(record, tables, device) for record in records]
    cuts = [chunk_sections.cut(sizes.tolist()) for sizes in sum(component.sizes() for component in made)]
    found = [iter(component.payloads(cuts, implementation)) for component in made]
    return [[(octaves, [next(payloads) for payloads in found]) for octaves in domain] for domain in cuts]


@dataclass
class _Stream:
    """What becomes a payload: the numbers of its batches, bits of each one's raw values, segments and lanes."""

    batches: np.ndarray
    raw: np.ndarray
    segments: int
    lanes: int


class _Component:
    """A record on a device, its residuals folded to symbols and raw values."""

    def __init__(self, record: SymbolBuffer, tables: Tables, device: torch.device) -> None:
        self._record, self._device = record, device
        residuals, self._classes = record.residuals.to(device), record.classes.to(device)
        starts = self._to(record.starts)
        self._symbols = zigzag.symbols(residuals, self._classes, self._to(tables.freq > 0))
        self._raw = zigzag.raw(residuals, self._classes, self._symbols, starts)
        self._codes = self._to(tables.codes.view(np.int32))
        lengths = self._to(rans.code_lengths(tables.freq))[self._classes.long(), self._symbols.long()]
        before = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        self._lengths = before[starts].diff().cpu().numpy()  # of batches' symbols, in 2^-20 bits
        self._bits = self._raw.sizes.cpu().numpy()

    def sizes(self) -> np.ndarray:
        """(D, LAYERS) int64: bytes of each octave of each domain, states and sizes aside."""
        passes = [np.nonzero(self._record.octaves == o)[0] for o in range(LAYERS)]
        lengths, bits = (array.reshape(-1, self._record.domains) for array in (self._lengths, self._bits))
        return np.stack([(lengths[some].sum(0) >> 20) + bits[some].sum(0) >> 3 for some in passes], 1)

    def payloads(self, cuts: list[list[range]], implementation: str) -> list[bytes]:
        """Those of all sections of all domains; cuts: octaves of each section of each domain."""
        streams = [self._stream(d, octaves) for d, domain in enumerate(cuts) for octaves in domain]
        bits = self._packed(streams, implementation)
        place = self._codes, self._classes, self._symbols, self._plan(streams)
        states, words, sizes = (a.cpu().numpy() for a in encode(*place, implementation=implementation))
        segments = np.cumsum([0, *(stream.segments for stream in streams)])
        ends = np.cumsum([0, *sizes])
        found = []
        for stream, raw, begin, end in zip(streams, bits, segments[:-1], segments[1:], strict=True):
            own = states[begin:end, : stream.lanes].view(np.uint32), sizes[begin:end].tolist()
            found.append(rans.payload(raw, *own, words[ends[begin] : ends[end]].astype("<i2").tobytes()))
        return found

    def _stream(self, d: int, octaves: range) -> _Stream:
        passes = np.nonzero(np.isin(self._record.octaves, octaves))[0]
        batches = passes * self._record.domains + d
        symbols = np.diff(self._record.starts)[batches].sum()
        layout = rans.layout(int(symbols), int(self._lengths[batches].sum()) >> 20)
        return _Stream(batches, self._bits[batches], *layout)

    def _plan(self, streams: list[_Stream]) -> Plan:
        starts = self._record.starts
        batches = np.concatenate([stream.batches for stream in streams])
        counts = [stream.segments for stream in streams]
        owner = np.repeat(np.arange(len(streams)), counts)
        pieces = [np.diff(starts)[s.batches, None] * np.arange(s.segments + 1) // max(s.segments, 1) for s in streams]
        sizes = np.concatenate([np.diff(cuts.sum(0)) for cuts in pieces])
        parts = {
            "batches": np.stack([starts[batches], starts[batches + 1]], 1),
            "begins": np.cumsum([0, *(len(stream.batches) for stream in streams)]),
            "stream": owner.astype(np.int32),
            "number": np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
            "count": np.array(counts, np.int32)[owner],
            "lanes": np.array([stream.lanes for stream in streams], np.int32)[owner],
            "ends": np.cumsum(sizes),
        }
        return Plan(**{name: self._to(array) for name, array in parts.items()})

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
