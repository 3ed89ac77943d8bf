"""The byte layer: container, record fields, lossless streams. SPEC.md beside this file is the format."""

from neuralvdb.archive.container import ENTRY_SIZE, NO_GRID, ArchiveReader, ArchiveWriter, Section
from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.streams import put_array, put_table, take_array, take_table

__all__ = [
    "ENTRY_SIZE",
    "NO_GRID",
    "ArchiveReader",
    "ArchiveWriter",
    "FieldReader",
    "FieldWriter",
    "Section",
    "put_array",
    "put_table",
    "take_array",
    "take_table",
]
