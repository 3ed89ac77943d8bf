"""Grids that an earlier frame of a sequence has: what is equal to one under the same settings is not coded again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import xxhash

from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.frame_table import GridHead
from neuralvdb.codec.grid_reference import GridReference, depth_of
from neuralvdb.codec.loss import MeasuredLoss
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError
from neuralvdb.frame_number import FrameNumber

if TYPE_CHECKING:
    from neuralvdb.archive import Section
    from neuralvdb.values import EncodeContext, ModelSet, ValuesHead
    from neuralvdb.volume import Tree


@dataclass(frozen=True)
class GridInFile:
    """A grid of a frame of an archive."""

    path: str
    frame: FrameNumber
    number: int


@dataclass(frozen=True)
class ReusableValues:
    """The values of a grid that is coded already, and what was said of it."""

    head: GridHead
    sections: list[tuple[Section, bytes]]
    values: ValuesHead | None
    loss: MeasuredLoss | None
    reference: GridReference | None
    depth: int
    """References between it and a grid that has none."""
    decoded: Tree | None
    """Its tree; None where that is the original's."""


def key_of(key: object, context: EncodeContext, before: str) -> str:
    """What no other grids share than those whose values come out the same; nothing for grids without a key, and where
    more than the values depends on the settings. before: says which grids may have been in view."""
    if key is None or context.settings.embed_priors or context.settings.topology == "pruned":
        return ""
    return xxhash.xxh3_128_hexdigest(repr((key, context.settings_hash, before)).encode())


def read_reusable(reusable: Mapping[str, GridInFile], key: str, models: ModelSet) -> ReusableValues | None:
    """The values of a grid of that key; None where there are none any more."""
    held = reusable.get(key)
    if held is None:
        return None
    try:
        with FrameReader(held.path, held.frame, models=models) as frame:
            head, index, archive = frame.grids[held.number], frame.index, frame.archive
            sections = [s for s in index.sections if s.grid == held.number and s.kind in ("VALS", "TILE")]
            return ReusableValues(
                head=head,
                sections=[(section, archive.read(section)) for section in sections],
                values=(values := frame.head(held.number)),
                loss=frame.loss(held.number),
                reference=index.references.get(held.number),
                depth=depth_of(index.references, held.number),
                decoded=None if values is None else frame.read(held.number).tree,
            )
    except (NeuralVdbError, IndexError):  # it was replaced meanwhile
        return None
