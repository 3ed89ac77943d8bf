"""The TILE sections of a grid: every chunk's streams, cut so that a reader takes only the chunks and layers it needs.

Section number LAYERS * c + l begins with layer l of chunk c. A small layer has no section of its own: its symbols
follow those of the coarser layer in the same payloads (layout in archive/SPEC.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder, Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.chunks import Chunk
from neuralvdb.values.lattice.constants import LAYERS

_SMALLEST = 1 << 13  # bytes of a layer that has a section of its own, which costs some 40


def pack(coders: list[list[Encoder]], outliers: bytes, threads: int) -> Iterator[tuple[int, bytes]]:
    """(layer it begins with, payload) of each section of a chunk; coders: one per component and layer."""
    for layers in cut([sum(component[layer].size for component in coders) for layer in range(LAYERS)]):
        payloads = []
        for component in coders:
            for layer in layers[1:]:
                component[layers[0]].extend(component[layer])
            payloads.append(component[layers[0]].finish(threads))
        yield layers[0], section(layers, payloads, outliers)


def cut(sizes: list[int]) -> list[range]:
    """The layers of each section of a chunk; sizes: bytes of each layer, of all components."""
    begins = [layer for layer in range(LAYERS) if layer == 0 or sizes[layer] >= _SMALLEST]
    return [range(first, end) for first, end in zip(begins, [*begins[1:], LAYERS], strict=True)]


def section(layers: range, payloads: list[bytes], outliers: bytes) -> bytes:
    """The section of some layers; payloads: of each component. The chunk's outliers follow layer 0."""
    out = FieldWriter()
    for payload in payloads:
        out.put_bytes(payload)
    return out.getvalue() + (outliers if layers[0] == 0 else b"")


@dataclass(frozen=True, kw_only=True)
class ChunkSections:
    """The TILE sections of a grid.

    payloads: by section number, read on access.
    components: of a value.
    tables: that symbols were coded with.
    where: names the grid in errors.
    threads: to decode a payload with.
    """

    payloads: Mapping[int, bytes]
    components: int
    tables: Tables
    where: str
    threads: int


class ChunkReader:
    """The streams of chunk number `number`, taken from its sections only when needed. Raises DamagedFile.

    chunk: where its leaves are.
    """

    def __init__(self, sections: ChunkSections, number: int, chunk: Chunk) -> None:
        self.chunk = chunk
        self._sections, self._first = sections, LAYERS * number
        self._streams: dict[int, list[memoryview]] = {}  # of each component, by the layer they begin with
        self.outliers = self._open(0)

    def component(self, number: int) -> ComponentReader:
        """The streams of one component."""
        return ComponentReader(self, number)

    def begins(self, layer: int) -> bool:
        """Whether a section begins with this layer."""
        return self._first + layer in self._sections.payloads

    def decoder(self, layer: int, component: int) -> Decoder:
        """A decoder of the streams that begin with this layer."""
        if layer not in self._streams:
            self._open(layer).finish()
        streams = self._streams[layer][component]
        return Decoder(streams, self._sections.tables, self._sections.where, self._sections.threads)

    def _open(self, layer: int) -> FieldReader:
        """Takes a section's streams and gives what follows them."""
        source = FieldReader(self._sections.payloads[self._first + layer], self._sections.where)
        self._streams[layer] = [source.take_bytes() for _ in range(self._sections.components)]
        return source


class ComponentReader:
    """Called with a layer, in order from 0, gives the decoder to take it from. Raises DamagedFile."""

    def __init__(self, reader: ChunkReader, component: int) -> None:
        self._reader, self._component, self._layer = reader, component, 0
        self._decoders = [reader.decoder(0, component)]

    def __call__(self, layer: int) -> Decoder:
        """The decoder of a layer."""
        while self._layer < layer:
            self._layer += 1
            if self._reader.begins(self._layer):
                self._decoders.append(self._reader.decoder(self._layer, self._component))
        return self._decoders[-1]

    def finish(self) -> None:
        """Raises DamagedFile where more follows than was taken, as far as what was read shows it."""
        whole = self._layer == LAYERS - 1 or self._reader.begins(self._layer + 1)
        for decoder in self._decoders if whole else self._decoders[:-1]:
            decoder.finish()
