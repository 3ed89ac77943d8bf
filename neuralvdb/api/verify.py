"""Is an archive whole, and is it the file it came from?"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

from neuralvdb import devices
from neuralvdb.api.jobs import Progress, ignore
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.frame_table import content_hash
from neuralvdb.codec.guarantee import is_kept
from neuralvdb.codec.models import models_for
from neuralvdb.settings import VerifySettings
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What verify() found."""

    path: str
    original: str | None
    grids: int
    """How many decoded to what was stored."""
    differences: list[str]
    """One line each, against the original where it was given."""
    device: str
    """Where topologies and lossy values were decoded."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def verify(
    path: str | os.PathLike[str],
    original: str | os.PathLike[str] | None = None,
    settings: VerifySettings = VerifySettings(),
    *,
    progress: Progress = ignore,
) -> VerifyReport:
    """Checks every checksum, decodes every grid, and compares with the .vdb file `original` where given.

    progress: is told of bytes of the source as they are done. Raises InputError, DamagedFile, Unsupported,
    PromiseBroken, OutOfMemory, NoSuchDevice, MissingPriors.
    """
    gpus = devices.resolve(settings.device)
    with FrameReader(path, models=models_for(settings), devices=gpus) as frame:
        for section in frame.archive.sections:
            frame.archive.read(section)
        decode_all(frame, settings.threads, progress)
        return VerifyReport(
            path=os.fspath(path),
            original=None if original is None else os.fspath(original),
            grids=len(frame.grids),
            differences=[] if original is None else _differences(frame, VdbReader(original)),
            device=devices.described(gpus),
        )


def decode_all(frame: FrameReader, threads: int, progress: Progress) -> None:
    """Decodes every grid, which compares it with what the archive promises, and keeps none.

    progress: is told of bytes of the source. Raises DamagedFile, OutOfMemory, PromiseBroken, MissingPriors.
    """
    heads = frame.grids
    for head, _ in zip(heads, frame.read_in_order(list(range(len(heads))), threads=threads), strict=True):
        progress(head.source_size)


def _differences(frame: FrameReader, original: VdbReader) -> list[str]:
    """One line for each difference between an archive and a .vdb file."""
    table = frame.table
    differences = [] if table.metadata == original.metadata else ["file-level metadata differs"]
    by_name = {head.unique_name: number for number, head in enumerate(table.grids)}
    for index, entry in enumerate(original.entries):
        number = by_name.pop(entry.unique_name, None)
        if number is None:
            differences.append(f"grid '{entry.name}' is not in the archive")
        else:
            differing = _differing(frame, number, original.read(index))
            differences += [f"grid '{entry.name}': {what} differs" for what in differing]
    return differences + [f"grid '{table.grids[number].name}' is not in the original" for number in by_name.values()]


def _differing(frame: FrameReader, number: int, original: VolumeGrid) -> list[str]:
    """What of the grid number `number` is not as in the original, or not as promised."""
    head, promise = frame.grids[number], frame.promise(number)
    same = {
        "type": head.grid_type == original.grid_type,
        "saved-as-half flag": head.half == original.half,
        "shared tree": head.parent == original.parent,
        "metadata": head.metadata == original.metadata,
        "transform": head.transform == original.transform,
    }
    differing = [what for what, is_same in same.items() if not is_same]
    if promise is None:
        return differing + ["content"] * (head.content != content_hash(original))
    keeps = is_kept(promise, original, frame.read(number), pruned=head.pruned is not None)
    return ["what was promised"] * (not keeps) + differing
