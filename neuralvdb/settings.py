"""What a user may choose, with the defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

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
class Settings:
    """Choices shared by all operations.

    grids: names to work on, all of them when empty; `density` also names density[1]. threads: how many
    to use. force: overwrite outputs. verify: decode what was written and compare before it is kept.
    compression: of written .vdb files, one of blosc, zip, none. bounds: errors allowed, the last one that names a grid
    holds; without any, every bit is kept.
    """

    grids: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    force: bool = False
    verify: bool = True
    compression: str = "blosc"
    bounds: tuple[Bound, ...] = ()
