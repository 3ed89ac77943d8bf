"""From .neuralvdb to .vdb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import xxhash

from neuralvdb.api.files import new_file
from neuralvdb.api.source import select
from neuralvdb.codec.decode import FrameReader, decode_grids
from neuralvdb.settings import Settings
from neuralvdb.volume import FILE_VERSION, Storage, VdbWriter, set_threads

Progress = Callable[[int], None]
Runner = Callable[..., object]


@dataclass
class DecompressReport:
    """What decompress() did. Sizes in bytes."""

    source: str
    target: str
    archive_size: int
    vdb_size: int
    grids: list[str]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def decompress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: Settings = Settings(),
    *,
    progress: Progress = lambda _: None,
    run: Runner = lambda job, *args: job(*args),
) -> DecompressReport:
    """Writes the archive `source` to the .vdb file `target`.

    `progress` is called with bytes of decoded memory as they are done; `run` as in compress(). Raises
    InputError, DamagedFile, Unsupported, NoSuchGrid, OutputExists, OutputError, PromiseBroken, OutOfMemory; then
    `target` is as before.
    """
    with new_file(Path(target), force=settings.force) as temporary:
        grids = run(_decompress, os.fspath(source), temporary, settings, progress)
        sizes = os.path.getsize(source), os.path.getsize(temporary)
    return DecompressReport(os.fspath(source), os.fspath(target), *sizes, grids)


def _decompress(source: str, target: str, settings: Settings, progress: Progress) -> list[str]:
    """Names of the grids written."""
    set_threads(settings.threads)
    with FrameReader(source) as frame:
        heads = frame.table.grids
        selected = select(heads, settings.grids, source)
        whole = frame.table.complete and len(selected) == len(heads)
        content = b"".join(heads[i].content for i in selected)
        writer = VdbWriter(
            target,
            metadata=frame.table.metadata,
            count=len(selected),
            uuid=frame.table.uuid if whole else _uuid(content),
            compression=settings.compression,
            version=max([FILE_VERSION] + [frame.table.version for i in selected if heads[i].storage is Storage.RAW]),
        )
        for index, grid in zip(selected, decode_grids(frame, selected, threads=settings.threads), strict=True):
            writer.write(grid)
            progress(frame.memory(index))
        writer.close()
    return [heads[i].name for i in selected]


def _uuid(content: bytes) -> bytes:
    """A uuid that depends on nothing but the content: a file with other grids than its source is another file."""
    digits = xxhash.xxh3_128_hexdigest(content)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()
