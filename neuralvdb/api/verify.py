"""Is an archive whole, and is it the file it came from?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from neuralvdb import devices
from neuralvdb.codec import cover
from neuralvdb.codec.decode import FrameReader, decode_grids, models_for
from neuralvdb.codec.frame_table import content_hash
from neuralvdb.codec.guarantee import kept
from neuralvdb.settings import VerifySettings
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid


@dataclass
class VerifyReport:
    """grids: how many decoded to what was stored; differences: one line each, against the original if given; device:
    where topologies and lossy values were decoded."""

    path: str
    original: str | None
    grids: int
    differences: list[str]
    device: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def verify(
    path: str | os.PathLike[str],
    original: str | os.PathLike[str] | None = None,
    settings: VerifySettings = VerifySettings(),
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> VerifyReport:
    """Checks every checksum, decodes every grid, and compares with the .vdb file `original` where given.

    `progress` is called with bytes of the source as they are done. Raises InputError, DamagedFile, Unsupported,
    PromiseBroken, OutOfMemory, NoSuchDevice, MissingPriors.
    """
    with FrameReader(path, library=models_for(settings), devices=devices.resolve(settings.device)) as frame:
        for section in frame.archive.sections:
            frame.archive.read(section)
        heads = frame.table.grids
        for head, _ in zip(heads, decode_grids(frame, list(range(len(heads))), threads=settings.threads), strict=True):
            progress(head.source_size)
        differences = [] if original is None else _against(frame, VdbReader(original))
    name = None if original is None else os.fspath(original)
    return VerifyReport(os.fspath(path), name, len(heads), differences, devices.described(frame.devices))


def _against(frame: FrameReader, original: VdbReader) -> list[str]:
    table = frame.table
    differences = [] if table.metadata == original.metadata else ["file-level metadata differs"]
    by_name = {head.unique_name: number for number, head in enumerate(table.grids)}
    for index, entry in enumerate(original.entries):
        number = by_name.pop(entry.unique_name, None)
        if number is None:
            differences.append(f"grid '{entry.name}' is not in the archive")
        else:
            parts = _parts(frame, number, original.read(index))
            differences += [f"grid '{entry.name}': {what} differs" for what in parts]
    return differences + [f"grid '{table.grids[number].name}' is not in the original" for number in by_name.values()]


def _parts(frame: FrameReader, number: int, grid: VolumeGrid) -> list[str]:
    head = frame.table.grids[number]
    pairs = {
        "type": (head.grid_type, grid.grid_type),
        "saved-as-half flag": (head.half, grid.half),
        "shared tree": (head.parent, grid.parent),
        "metadata": (head.metadata, grid.metadata),
        "transform": (head.transform, grid.transform),
    }
    promise = frame.promise(number)
    if promise is None:
        pairs["content"] = (head.content, content_hash(grid))
    elif not (kept if head.pruned is None else cover.kept)(promise, grid, frame.read(number)):
        return ["what was promised"] + [what for what, (ours, theirs) in pairs.items() if ours != theirs]
    return [what for what, (ours, theirs) in pairs.items() if ours != theirs]
