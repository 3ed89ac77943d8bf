"""The TILE sections of a grid: every domain's streams, cut so that a reader takes the domains and octaves it needs.

Section number LAYERS d + o begins with octave o of domain d. A small octave has no section of its own: its symbols
follow those of the coarser one in the same payloads (layout in archive/SPEC.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Decoder, Encoder, Tables
from neuralvdb.values.lattice.constants import LAYERS

_SMALLEST = 1 << 13  # bytes of an octave that has a section of its own, which costs some 40


def pack(coders: list[list[Encoder]], exceptions: bytes, threads: int) -> Iterator[tuple[int, bytes]]:
    """(octave it begins with, payload) of a domain's sections; coders: one per component and octave."""
    for octaves in cut([sum(component[o].size for component in coders) for o in range(LAYERS)]):
        payloads = []
        for component in coders:
            for o in octaves[1:]:
                component[octaves[0]].extend(component[o])
            payloads.append(component[octaves[0]].finish(threads))
        yield octaves[0], section(octaves, payloads, exceptions)


def cut(sizes: list[int]) -> list[range]:
    """The octaves of each section of a domain; sizes: bytes of each octave, of all components."""
    begins = [o for o in range(LAYERS) if o == 0 or sizes[o] >= _SMALLEST]
    return [range(*ends) for ends in zip(begins, [*begins[1:], LAYERS], strict=True)]


def section(octaves: range, payloads: list[bytes], exceptions: bytes) -> bytes:
    """The section of some octaves; payloads: of each component."""
    out = FieldWriter()
    for payload in payloads:
        out.put_bytes(payload)
    return out.getvalue() + (exceptions if octaves[0] == 0 else b"")


class TileReader:
    """The streams of domain `number`, taken from sections only when needed. Raises DamagedFile.

    sections: payloads by section number, read on access.
    """

    def __init__(
        self, sections: Mapping[int, bytes], number: int, components: int, tables: Tables, where: str, threads: int
    ) -> None:
        self._sections, self._first, self._components = sections, LAYERS * number, components
        self._tables, self._where, self._threads = tables, where, threads
        self._payloads: dict[int, list[memoryview]] = {}
        self.exceptions = self._open(0)

    def component(self, number: int) -> ComponentReader:
        """The streams of one component."""
        return ComponentReader(self, number)

    def begins(self, octave: int) -> bool:
        """Whether a section begins with this octave."""
        return self._first + octave in self._sections

    def decoder(self, octave: int, component: int) -> Decoder:
        """A decoder of the payload that begins with this octave."""
        if octave not in self._payloads:
            self._open(octave).finish()
        return Decoder(self._payloads[octave][component], self._tables, self._where, self._threads)

    def _open(self, octave: int) -> FieldReader:
        """Takes a section's payloads and gives what follows them."""
        source = FieldReader(self._sections[self._first + octave], self._where)
        self._payloads[octave] = [source.take_bytes() for _ in range(self._components)]
        return source


class ComponentReader:
    """Called with an octave, in order from 0, the decoder to take it from. Raises DamagedFile."""

    def __init__(self, tile: TileReader, component: int) -> None:
        self._tile, self._component, self._octave = tile, component, 0
        self._decoder = tile.decoder(0, component)

    def __call__(self, octave: int) -> Decoder:
        """The decoder of an octave."""
        while self._octave < octave:
            self._octave += 1
            if self._tile.begins(self._octave):
                self._decoder.finish()
                self._decoder = self._tile.decoder(self._octave, self._component)
        return self._decoder

    def finish(self) -> None:
        """Raises DamagedFile unless what was taken ends where it should, as far as that shows in what was read."""
        if self._octave == LAYERS - 1 or self._tile.begins(self._octave + 1):
            self._decoder.finish()
