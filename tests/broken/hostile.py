"""Archives whose checksums are right and whose content is not: these reach the decoders behind the checksums."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace

import numpy as np
import xxhash
import zstandard
from mutations import damage, huge_or_tiny

from neuralvdb.archive import NO_GRID, FieldWriter, put_array
from neuralvdb.archive.container import _ENTRY, _HEADER, MAGIC, Section


@dataclass(frozen=True)
class Stream:
    """A stream inside a section: its bytes are payload[begin:end], and the array they hold."""

    begin: int
    end: int
    array: np.ndarray


@dataclass(frozen=True)
class Part:
    """A section, its payload and the streams in it."""

    section: Section
    payload: bytes
    streams: tuple[Stream, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether this is the table of the frame, which holds what no hash of a grid covers."""
        return self.section.kind == "FRAM"


def attack(rng: random.Random, parts: list[Part]) -> tuple[str, bytes, bool]:
    """Name and bytes of a hostile archive, and whether the table of its frame was changed."""
    parts = list(parts)
    names = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        mutation = rng.choice((_payload, _stream, _stream, _array, _array, _array, _entry, _raw_size, _list, _border))
        number = rng.randrange(len(parts))
        parts[number : number + 1] = mutation(rng, parts[number], parts)
        names.append(mutation.__name__.strip("_"))
        if not parts:
            break
    table_changed = "FRAM" in names or any(part.is_table and part.payload != _table(parts_before) for part in parts for parts_before in (parts,))
    return "+".join(names), join(rng, parts), table_changed
