"""The byte layer: container, record fields, lossless streams. SPEC.md beside this file is the format."""

from neuralvdb.archive.container import NO_GRID, ArchiveReader, ArchiveWriter, Section
from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.streams import put_array, take_array

__all__ = [
    "NO_GRID",
    "ArchiveReader",
    "ArchiveWriter",
    "FieldReader",
    "FieldWriter",
    "Section",
    "put_array",
    "take_array",
]
