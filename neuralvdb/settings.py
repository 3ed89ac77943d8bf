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
MAX_LOD = 3


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


@dataclass(frozen=True)
class Box:
    """Voxels of a grid's index space, from `low` to `high`, both included. Raises ValueError where there are none or
    corners do not fit 32 bits."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(a > b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"the box from {self.low} to {self.high} holds nothing; the lower corner comes first")
        if min(self.low) < -(1 << 31) or max(self.high) >= 1 << 31:
            raise ValueError("the corners of a box are whole numbers of 32 bits")

    def coarse(self, lod: int) -> Box:
        """The voxels, 2**lod times as long, that the box touches."""
        return Box(tuple(x >> lod for x in self.low), tuple(x >> lod for x in self.high))


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
    which go before quality; the last one that names a grid holds. Without either every bit is kept. box: decompress
    only what lies in it, in each grid's own index space. lod: decompress to voxels 2**lod times as long, 0 to MAX_LOD.
    """

    grids: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    force: bool = False
    verify: bool = True
    compression: str = "blosc"
    quality: str = ""
    bounds: tuple[Bound, ...] = ()
    box: Box | None = None
    lod: int = 0
