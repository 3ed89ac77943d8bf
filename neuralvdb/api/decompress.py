"""From .neuralvdb to .vdb."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import xxhash

from neuralvdb import devices
from neuralvdb.api.files import new_file
from neuralvdb.api.source import select
from neuralvdb.api.tensors import GridTensors, tensors
from neuralvdb.codec.decode import FrameReader, decode_grids, models_for
from neuralvdb.codec.frame_table import count
from neuralvdb.codec.region import plan
from neuralvdb.settings import DecompressSettings
from neuralvdb.topology import Topology
from neuralvdb.vdb import FILE_VERSION, VdbWriter, describe_transform, set_threads
from neuralvdb.volume import Storage, VolumeGrid

Progress = Callable[[int], None]
Note = Callable[[str], None]
Runner = Callable[..., object]


@dataclass
class GridPart:
    """A grid of which only a part came back: active voxels, None where not counted; voxel size in world units."""

    active_voxels: int | None
    voxel_size: tuple[float, float, float] | None


@dataclass
class DecompressReport:
    """What decompress() did. Sizes in bytes; parts: of every grid where a box or a level of detail was asked for;
    notes: one line on each grid that was left out or not cut as others are; device: where topologies and lossy
    values were decoded."""

    source: str
    target: str
    archive_size: int
    vdb_size: int
    grids: list[str]
    parts: dict[str, GridPart]
    notes: list[str]
    device: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def decompress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    settings: DecompressSettings = DecompressSettings(),
    *,
    progress: Progress = lambda _: None,
    note: Note = lambda _: None,
    run: Runner = lambda job, *args: job(*args),
) -> DecompressReport | dict[str, GridTensors]:
    """Writes the archive `source` to the .vdb file `target`: all of it, or what settings.box and settings.lod ask for.

    Without a target it gives grids as torch tensors by name, as tensors() does.
    `progress` is called with bytes of decoded memory as they are done, `note` with each of the report's notes before
    anything is written; `run` as in compress(). Raises NoSuchDevice, InputError, DamagedFile, Unsupported, NoSuchGrid,
    OutputExists, OutputError, PromiseBroken, OutOfMemory, MissingPriors; then `target` is as before.
    """
    if target is None:
        return tensors(source, settings)
    job = _decompress_masks if settings.topology_only else _decompress
    with new_file(Path(target), force=settings.force) as temporary:
        found = run(job, os.fspath(source), temporary, settings, progress, note)
        sizes = os.path.getsize(source), os.path.getsize(temporary)
    return DecompressReport(os.fspath(source), os.fspath(target), *sizes, *found)


def _decompress(
    source: str, target: str, settings: DecompressSettings, progress: Progress, note: Note
) -> tuple[list[str], dict[str, GridPart], list[str], str]:
    """Names of the grids written, their parts, notes, and the device."""
    set_threads(settings.threads)
    box, lod = settings.box, settings.lod
    places = devices.resolve(settings.device)
    with FrameReader(source, library=models_for(settings), devices=places) as frame:
        heads = frame.table.grids
        selected, notes = plan(frame, select(heads, settings.grids, source), box, lod)
        for line in notes:
            note(f"{source}: {line}")
        part = repr((box, lod)) if box is not None or lod else ""
        whole = frame.table.complete and len(selected) == len(heads) and not part
        content = b"".join(heads[i].content for i in selected) + part.encode()
        parts = {}
        writer = VdbWriter(
            target,
            metadata=frame.table.metadata,
            count=len(selected),
            uuid=frame.table.uuid if whole else _uuid(content),
            compression=settings.compression,
            version=max([FILE_VERSION] + [frame.table.version for i in selected if heads[i].storage is Storage.RAW]),
        )
        grids = decode_grids(frame, selected, threads=settings.threads, box=box, lod=lod)
        for index, grid in zip(selected, grids, strict=True):
            writer.write(grid)
            progress(frame.memory(index))
            if part:
                parts[grid.name] = _part(grid)
        writer.close()
    return [heads[i].name for i in selected], parts, notes, devices.described(frame.devices)


def _decompress_masks(
    source: str, target: str, settings: DecompressSettings, progress: Progress, note: Note
) -> tuple[list[str], dict[str, GridPart], list[str], str]:
    """The same, of the masks of grids that travel as arrays."""
    set_threads(settings.threads)
    places = devices.resolve(settings.device)
    with FrameReader(source, library=models_for(settings), devices=places) as frame:
        heads = frame.table.grids
        chosen = select(heads, settings.grids, source)
        selected = [i for i in chosen if heads[frame.source(i)].storage is Storage.TREE]
        left_out = [heads[i].name for i in chosen if i not in selected]
        notes = [f"grid '{name}' is left out: its topology is not coded apart" for name in left_out]
        for line in notes:
            note(f"{source}: {line}")
        content = b"masks" + b"".join(heads[i].content for i in selected)
        table = {"metadata": frame.table.metadata, "count": len(selected), "uuid": _uuid(content)}
        writer = VdbWriter(target, **table, compression=settings.compression)
        for index in selected:
            head = heads[index]
            writer.write_mask(head.unique_name, head.metadata, head.transform, vars(frame.mask(index)))
            progress(frame.memory(index))
        writer.close()
    return [heads[i].name for i in selected], {}, notes, devices.described(frame.devices)


def _part(grid: VolumeGrid) -> GridPart:
    active = None if grid.tree is None else count(Topology.of(grid.tree))[2]
    return GridPart(active, describe_transform(grid.transform)["voxel_size"] if grid.transform else None)


def _uuid(content: bytes) -> bytes:
    """A uuid that depends on nothing but the content: a file with other grids than its source is another file."""
    digits = xxhash.xxh3_128_hexdigest(content)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()
