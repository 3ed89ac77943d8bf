"""What kind of field a grid holds, told by its class and its type alone."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from neuralvdb.volume.grid import TREE_TYPES
from neuralvdb.volume.metadata import string_value


class FieldKind(Enum):
    """Kinds of fields, by the names that families of networks have."""

    FOG = "fog"
    VELOCITY = "velocity"
    LEVEL_SET = "levelset"


class Described(Protocol):
    """A grid or what a table says of it."""

    @property
    def grid_type(self) -> str:
        """The type, such as Tree_float_5_4_3."""

    @property
    def metadata(self) -> bytes:
        """Metadata as OpenVDB serialises it."""


def field_kind(grid: Described) -> FieldKind:
    """The kind of a grid: a level set if its class says so, a velocity if it has vectors, else fog. Raises DamagedFile
    where its metadata is none."""
    if string_value(grid.metadata, "class") == "level set":
        return FieldKind.LEVEL_SET
    _, components = TREE_TYPES.get(grid.grid_type, (None, 1))
    return FieldKind.FOG if components == 1 else FieldKind.VELOCITY
