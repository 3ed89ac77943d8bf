"""The byte layer: container, record fields, lossless streams. SPEC.md beside this file is the format."""

from neuralvdb.archive.container import ArchiveReader, ArchiveWriter, SectionReader, SectionWriter, SequenceWriter
from neuralvdb.archive.directory import FrameLabel
from neuralvdb.archive.fields import FieldReader, FieldWriter
from neuralvdb.archive.section import ENTRY_SIZE, NO_GRID, Section, SectionLabel
from neuralvdb.archive.streams import likely_stream_size, open_table, pack_table, put_array, store_table, take_array

__all__ = [
    "ENTRY_SIZE",
    "NO_GRID",
    "ArchiveReader",
    "ArchiveWriter",
    "FieldReader",
    "FieldWriter",
    "FrameLabel",
    "Section",
    "SectionLabel",
    "SectionReader",
    "SectionWriter",
    "SequenceWriter",
    "likely_stream_size",
    "open_table",
    "pack_table",
    "put_array",
    "store_table",
    "take_array",
]
