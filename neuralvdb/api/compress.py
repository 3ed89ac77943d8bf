"""From .vdb to .neuralvdb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from neuralvdb import devices
from neuralvdb.api.files import new_file
from neuralvdb.api.source import select
from neuralvdb.archive import ArchiveWriter
from neuralvdb.codec.decode import FrameReader, decode_grids, models_for
from neuralvdb.codec.encode import encode_frame
from neuralvdb.errors import OutputError
from neuralvdb.platform import return_memory
from neuralvdb.settings import CompressSettings
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.vdb import VdbReader, set_threads

Progress = Callable[[int], None]
Runner = Callable[..., object]


@dataclass
class CompressReport:
    """What compress() did. Sizes in bytes; left_out: grids the user did not select; promises: what is promised of grids
    that are not lossless, and by which networks; pruned: voxels whose active state changed, of grids whose topology is
    pruned; device: where lossy values were coded; verified: whether the archive was decoded and compared."""

    source: str
    target: str
    source_size: int
    archive_size: int
    grids: list[str]
    left_out: list[str]
    promises: dict[str, dict[str, object]]
    pruned: dict[str, int]
    device: str
    verified: bool

    @property
    def ratio(self) -> float:
        """Source size over archive size."""
        return self.source_size / self.archive_size

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "ratio": round(self.ratio, 4)}


def compress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: CompressSettings = CompressSettings(),
    *,
    progress: Progress = lambda _: None,
    run: Runner = lambda job, *args: job(*args),
) -> CompressReport:
    """Writes the .vdb file `source` to the archive `target`: every bit, or within settings.bounds.

    `progress` is called with bytes of the source as they are done (twice over with settings.verify).
    `run` calls the job; `nvdb` passes one that does so in a child process. Raises NoSuchDevice, InputError,
    DamagedFile, Unsupported, NoSuchGrid, OutputExists, OutputError, PromiseBroken, OutOfMemory; then
    `target` is as before.
    """
    with new_file(Path(target), force=settings.force) as temporary:
        left_out, grids, *rest = run(_compress, os.fspath(source), temporary, settings, progress)
        sizes = os.path.getsize(source), os.path.getsize(temporary)
    return CompressReport(os.fspath(source), os.fspath(target), *sizes, grids, left_out, *rest, settings.verify)


def _compress(
    source: str, target: str, settings: CompressSettings, progress: Progress
) -> tuple[list[str], list[str], dict[str, dict[str, object]], dict[str, int], str]:
    """Names of the grids left out, of those archived, the promises, voxels changed by pruning, and the device."""
    set_threads(settings.threads)
    places = devices.resolve(settings.device) if settings.lossy or settings.device != "auto" else ()
    reader = VdbReader(source)
    selected = select(reader.entries, settings.grids, source)
    library = models_for(settings)
    try:
        with open(target, "r+b") as stream:
            writer = ArchiveWriter(stream)
            table = encode_frame(writer, reader, selected, settings, progress, library=library, devices=places)
            writer.close()
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
    if settings.verify:
        return_memory()
        _verify(target, settings, library, places, progress)
    left_out = [entry.name for i, entry in enumerate(reader.entries) if i not in set(selected)]
    with FrameReader(target, library=library) as frame:
        found = {grid.name: frame.described(i) for i, grid in enumerate(table.grids)}
    promises = {name: promise for name, promise in found.items() if promise is not None}
    pruned = {grid.name: grid.pruned for grid in table.grids if grid.pruned is not None}
    return left_out, [grid.name for grid in table.grids], promises, pruned, devices.described(places)


def _verify(
    target: str, settings: CompressSettings, library: ModelSet | None, places: tuple[str, ...], progress: Progress
) -> None:
    with FrameReader(target, library=library, devices=places) as frame:
        heads = frame.table.grids
        grids = decode_grids(frame, list(range(len(heads))), threads=settings.threads)
        for head, _ in zip(heads, grids, strict=True):
            progress(head.source_size)
