"""What a user may choose, with the defaults."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ARCHIVE_SUFFIX = ".neuralvdb"


@dataclass(frozen=True)
class Bound:
    """A maximum error for the grids called `grid`, all if empty; relative: as a share of the active range, else in the
    grid's values, for level sets in voxels. Above zero, ratio allows that share of each value where that is more."""

    value: float
    relative: bool
    grid: str = ""
    ratio: float = 0.0


@dataclass(frozen=True)
class Preset:
    """A quality. step and knee (fog), rel_error (velocity): shares of the active range; voxels (level sets)."""

    step: float
    knee: float
    rel_error: float
    voxels: float


@functools.cache
def presets() -> dict[str, Preset]:
    """The presets that come with the package, by name (configs/presets.toml)."""
    found = tomllib.loads(Path(__file__).with_name("configs").joinpath("presets.toml").read_text())
    return {name: Preset(**{k: v for kind in table.values() for k, v in kind.items()}) for name, table in found.items()}


@dataclass(frozen=True)
class Settings:
    """Choices shared by all operations.

    grids: names to work on, all of them when empty; `density` also names density[1]. threads: how many
    to use. force: overwrite outputs. verify: decode what was written and compare before it is kept.
    compression: of written .vdb files, one of blosc, zip, none. quality: one of presets(). bounds: errors allowed,
    which go before quality; the last one that names a grid holds. Without either every bit is kept.
    """

    grids: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    force: bool = False
    verify: bool = True
    compression: str = "blosc"
    quality: str = ""
    bounds: tuple[Bound, ...] = ()
