"""What a user may choose, with the defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

ARCHIVE_SUFFIX = ".neuralvdb"


@dataclass(frozen=True)
class Settings:
    """Choices shared by all operations.

    grids: names to work on, all of them when empty; `density` also names density[1]. threads: how many
    to use. force: overwrite outputs. verify: decode what was written and compare before it is kept.
    compression: of written .vdb files, one of blosc, zip, none.
    """

    grids: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    force: bool = False
    verify: bool = True
    compression: str = "blosc"
