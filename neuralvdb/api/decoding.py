"""All grids of a frame, decoded to see whether they can be."""

from __future__ import annotations

import contextlib

from neuralvdb.api.jobs import Progress
from neuralvdb.codec.frame import Frame


def decode_all(frame: Frame, threads: int, progress: Progress) -> None:
    """Decodes every grid, which compares it with what the archive promises, and keeps none.

    progress: is told of bytes of the source. Raises DamagedFile, OutOfMemory, PromiseBroken, MissingPriors.
    """
    heads = frame.grids
    with contextlib.closing(frame.read_in_order(list(range(len(heads))), threads=threads)) as grids:
        for head, _ in zip(heads, grids, strict=True):
            progress(head.source_size)
