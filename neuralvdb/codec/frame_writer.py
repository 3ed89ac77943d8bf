"""Writes the sections of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuralvdb.archive import SectionLabel, SectionWriter, pack_table
from neuralvdb.archive.formats import version_written
from neuralvdb.codec.frame_table import FrameTable
from neuralvdb.codec.grid_reference import REFERENCES, GridReference, pack_references
from neuralvdb.codec.group_tables import TABLE_FROM_FIRST, WHOLE, CodedSection, FirstTables
from neuralvdb.codec.loss import MeasuredLoss, pack_losses
from neuralvdb.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A section of a grid; number: of several of one type; the rest as SectionWriter.add() has it."""

    kind: str
    payload: bytes
    raw_size: int
    codec: int = 0
    number: int = 0


class FrameWriter:
    """Writes a frame: its grids in order, then the rest.

    first: of the group; None where the frame is that one itself.
    """

    def __init__(self, writer: SectionWriter, first: FirstTables | None) -> None:
        self._writer, self._first = writer, first
        self._sections: dict[tuple[str, bytes], tuple[int, CodedSection]] = {}

    def grid(self, number: int, name: bytes, sections: Iterable[Payload]) -> None:
        """Writes the sections of a grid. name: no other grid has it."""
        for section in sections:
            coded = CodedSection(section.codec, section.payload)
            if section.codec in WHOLE.get(section.kind, ()):
                if self._first is None:
                    self._sections[section.kind, name] = number, coded
                else:
                    coded = self._first.section(section.kind, name, coded)
            version = version_written(section.kind, coded.codec)
            label = SectionLabel(section.kind, coded.codec, version, number, section.number)
            self._writer.add(label, coded.payload, raw_size=section.raw_size)

    def end(
        self, table: FrameTable, references: Mapping[int, GridReference], losses: dict[int, MeasuredLoss]
    ) -> FirstTables:
        """Writes what belongs to the frame; gives the tables of the first frame of the group. Raises Unsupported, where
        no archive may hold the table, and OutputError."""
        text, short = table.text(), table.shortened().text()
        payload = None if self._first is None else self._first.frame_table(short)
        codec = 0 if payload is None else TABLE_FROM_FIRST
        label = SectionLabel("FRAM", codec, version_written("FRAM", codec))
        if payload is None:
            self._writer.add(label, pack_table(text), raw_size=len(text))
        else:
            self._writer.add(label, payload, raw_size=len(short))
        if references:
            label = SectionLabel("REFS", REFERENCES, version_written("REFS", REFERENCES))
            self._writer.add(label, pack_references(references), raw_size=0)
        if losses:
            label = SectionLabel("LOSS", version=version_written("LOSS", 0), required=False)
            self._writer.add(label, pack_losses(losses), raw_size=0)
        return FirstTables(short, self._sections) if self._first is None else self._first
