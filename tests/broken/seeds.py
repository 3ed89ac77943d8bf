"""The undamaged files that the fuzzer starts from: real ones where the data folder is, the project's samples always."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import numpy as np
from hostile import Piece, Stream
from rich_volume import write_rich_volume

from neuralvdb import compress, decompress
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import FrameReader, OpenFrames
from neuralvdb.errors import Unsupported
from neuralvdb.sequence.pack import frames_in, in_order, join
from neuralvdb.settings import Bound, Box, CompressSettings, DecompressSettings
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import Storage, VolumeGrid

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NEURALVDB_TEST_DATA", ROOT.parent / "shared" / "data"))
# Modules that take streams.
_TAKERS = (
    "values.model_file",
    "values.lattice.network_changes",
    "topology.root",
    "topology.lossless",
    "topology.box",
    "values.lossless",
    "values.outliers",
    "values.head",
    "archive.streams",
    "codec.decode",
)

# Options of `nvdb decompress`, and what they mean.
OPTIONS = {
    (): DecompressSettings(),
    ("--bbox=-2,1,3,9,30,7",): DecompressSettings(box=Box((-2, 1, 3), (9, 30, 7))),
    ("--lod", "1"): DecompressSettings(lod=1),
    ("--bbox=1290,0,0,1400,9,9", "--lod", "2"): DecompressSettings(box=Box((1290, 0, 0), (1400, 9, 9)), lod=2),
    ("--lod", "3"): DecompressSettings(lod=3),
}

_LOSSY = ("made_none", "made_blosc", "made_rod", "made_tiles", "arnold_torus01")
_CLOSE = CompressSettings(bounds=(Bound(value=0.005, relative=True),))
_MAX_VDB = 3 << 20  # bytes


@dataclass(frozen=True)
class Seed:
    """A file to damage. hot: where its lengths and counts stand. Of archives also their pieces and the .vdb
    files they decode to: by the options of OPTIONS, None where these grids have no levels of detail."""

    name: str
    data: bytes
    hot: list[tuple[int, int]]
    pieces: list[Piece] = field(default_factory=list)
    decoded: dict[tuple[str, ...], bytes | None] = field(default_factory=dict)
    frame: int | None = None
    """Of an archive of many, the one that is decoded."""


def archive_seeds(folder: Path) -> list[Seed]:
    """Small archives, made in `folder`."""
    paths = [*_made(folder), *_small_real()]
    exact = CompressSettings(quality="lossless")
    lossless = [_archive_seed(path, folder, exact) for path in paths]
    lossy = [
        _archive_seed(path, folder, options)
        for options in (
            CompressSettings(bounds=(Bound(value=0.02, relative=True),)),
            CompressSettings(quality="preview"),
        )
        for path in paths
        if path.stem in _LOSSY
    ]
    pruned = CompressSettings(bounds=(Bound(value=0.02, relative=True),), topology="pruned")
    fine_tuned = CompressSettings(bounds=(Bound(value=0.001, relative=True),), effort=6, embed_priors=True)
    more = [_archive_seed(folder / "made_alike.vdb", folder, settings) for settings in (pruned, fine_tuned)]
    specks = [
        _archive_seed(path, folder, settings)
        for path in _specks(folder)
        for settings in (exact, CompressSettings(quality="preview"), pruned)
    ]
    specks += [_archive_seed(_resembling(folder), folder, settings) for settings in (_CLOSE, CompressSettings())]
    specks += [_archive_seed(_scattered(folder), folder, settings) for settings in (_CLOSE, CompressSettings())]
    specks += _rich(folder)
    groups = [_group(folder, "group", wind=True), _group(folder, "blocks", wind=False), _both_sides(folder)]
    cheap = [*specks, _many_frames(folder), *groups]
    return [*lossless, *lossy, *more, *cheap * 8]  # the cheap ones eight times as often


def _resembling(folder: Path) -> Path:
    """Winds, and three grids, each of which resembles the one before, the second one moved."""
    rng = np.random.default_rng(5)
    cloud = rng.normal(1, 0.7, (17, 16, 16)).cumsum(0).astype(np.float32)
    wind = np.full((16, 16, 16, 3), 2, np.float32)
    path = folder / "made_resembling.vdb"
    grids = {"velocity": wind, "density": cloud[1:], "density_inflow": cloud[:-1], "heat": 3 * cloud[1:]}
    write_vdb(path, [_grid(name, values) for name, values in grids.items()])
    return path


def _scattered(folder: Path) -> Path:
    """Ten rough pairs of leaves 1024 voxels from each other, which are cut as scattered leaves."""
    values = np.zeros((8, 8, 9 * 1024 + 16), np.float32)
    for number in range(10):
        values[:, :, 1024 * number :][:, :, :16] = np.random.default_rng(number).random((8, 8, 16), np.float32)
    path = folder / "made_scattered.vdb"
    write_vdb(path, [_grid("density", values)])
    return path


def _rich(folder: Path) -> list[Seed]:
    """One volume by every way of coding values."""
    path = folder / "rich.vdb"
    write_rich_volume(path)
    ways = {
        "lossless": CompressSettings(quality="lossless"),
        "preview": CompressSettings(quality="preview"),
        "tolerance": CompressSettings(bounds=(Bound(value=0.001, relative=True, ratio=0.05),)),
        "psnr": CompressSettings(bounds=(Bound(value=40, relative=False, decibels=True),)),
        "fast": CompressSettings(bounds=(Bound(value=0.01, relative=True),), fast=True),
        "left out": CompressSettings(quality="preview", leave_out=("temperature",)),
    }
    return [replace(_archive_seed(path, folder, settings), name=f"rich {way}") for way, settings in ways.items()]


def _many_frames(folder: Path) -> Seed:
    """An archive of three frames, one of them all of the first one's bytes."""
    names = ("density", "velocity", "density")
    pieces = [folder / f"frame.{number}.neuralvdb" for number in (1, 2, 3)]
    for name, piece in zip(names, pieces, strict=True):
        compress(folder / f"speck_{name}.vdb", piece, CompressSettings(quality="lossless", threads=1))
    archive, back = folder / "many.neuralvdb", folder / "many.back.vdb"
    with archive.open("wb") as stream:
        ordered, _ = in_order(frame for piece in pieces for frame in frames_in(str(piece)))
        assert len(list(join(ordered, stream))) == 3
    decompress(archive, back, DecompressSettings(threads=1, frame=3))
    data = archive.read_bytes()
    return Seed("many", data, [(0, 64), (len(data) - 300, len(data))], decoded={(): back.read_bytes()}, frame=3)


def _group(folder: Path, name: str, *, wind: bool) -> Seed:
    """An archive of three frames, each coded from the one before, along a wind or by vectors of blocks."""
    rng, sources = np.random.default_rng(3), []
    cloud = rng.normal(size=(16, 16, 16)).cumsum(0).astype(np.float32)
    velocity = from_dense(np.stack([np.ones_like(cloud), cloud / 9, 0 * cloud], -1), name="velocity")
    for number in range(3):
        halves = number if wind else number // 2, number if wind else (number + 1) // 2
        moved = sum(np.roll(cloud, half, axis=0) for half in halves) / 2
        sources.append(FrameSource(str(folder / f"{name}.{number}.vdb"), number))
        write_vdb(sources[-1].path, [*[velocity][: int(wind)], from_dense(moved, name="density")])
    archive, back = folder / f"{name}.neuralvdb", folder / f"{name}.back.vdb"
    settings = CompressSettings(bounds=(Bound(value=0.01, relative=True),), threads=1, verify=False)
    with compressing_frames(sources, str(archive), settings, ShotSoFar(3)) as task:
        task.work()
    decompress(archive, back, DecompressSettings(threads=1, frame=2))
    data = archive.read_bytes()
    with ArchiveReader(archive, is_readable) as opened:
        assert opened.directory is not None and opened.directory.entry(2).label.behind == 2
        blocks = [r.moved[0].motion.blocks for r in OpenFrames(opened).at(1).index.references.values()]
        assert all(of_grid is None for of_grid in blocks) == wind
    return Seed(name, data, [(0, 64), (len(data) - 300, len(data))], decoded={(): back.read_bytes()}, frame=2)


def _both_sides(folder: Path) -> Seed:
    """An archive of nine frames that hardly change, coded from both sides."""
    rng, sources = np.random.default_rng(4), []
    clouds = [rng.normal(size=(16, 16, 16)).cumsum(0).astype(np.float32) for _ in range(2)]
    for number in range(9):
        sources.append(FrameSource(str(folder / f"slow.{number}.vdb"), number))
        write_vdb(sources[-1].path, [from_dense(clouds[0] + 0.005 * number * clouds[1], name="density")])
    archive, back = folder / "slow.neuralvdb", folder / "slow.back.vdb"
    settings = CompressSettings(bounds=(Bound(value=0.01, relative=True),), threads=1, verify=False)
    with compressing_frames(sources, str(archive), settings, ShotSoFar(9)) as task:
        task.work()
    decompress(archive, back, DecompressSettings(threads=1, frame=1))
    data = archive.read_bytes()
    with ArchiveReader(archive, is_readable) as opened:
        assert opened.directory is not None and opened.directory.needs(4) == [0, 1, 2, 3, 4]
        (reference,) = OpenFrames(opened).at(4).index.references.values()
        assert len(reference.moved) == 2
    return Seed("slow", data, [(0, 64), (len(data) - 300, len(data))], decoded={(): back.read_bytes()}, frame=1)


def vdb_seeds(folder: Path) -> list[Seed]:
    """.vdb files of all versions and compressions."""
    names = ("hosts", "openvdb-models", "sequence-blender", "sequence-houdini", "variants")
    paths = [path for name in names for path in sorted((DATA / name).glob("*.vdb"))]
    paths = [path for path in paths if path.stat().st_size <= _MAX_VDB and not path.stem.endswith(tuple("3456789"))]
    paths += sorted((ROOT / "data" / "sample").glob("[cl]*.vdb")) + _made(folder)
    rich = folder / "rich.vdb"
    write_rich_volume(rich)
    return [_vdb_seed(path) for path in (*paths, *[*_specks(folder), rich] * 4)]  # the cheap ones four times as often


def _small_real() -> list[Path]:
    names = ("houdini_like_empty", "usd_smoke_000001", "arnold_torus01", "arnold_pointgrid", "fvdb_batch")
    paths = [DATA / "hosts" / f"{name}.vdb" for name in names]
    return [path for path in paths if path.exists()]


def _made(folder: Path) -> list[Path]:
    """Small volumes of every kind of value, half and full, in all compressions."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    fog = np.maximum(0, 1 - np.sqrt(x * x + y * y + z * z)).astype(np.float32)
    wind = np.stack([x, y, z], -1).astype(np.float32)
    specks = (np.random.default_rng(2).random((16, 16, 16)) > 0.5).astype(np.float32)  # no network knows their topology
    made = [_mixed(folder, fog), _rod(folder), _alike(folder), _tiles(folder, fog)]
    for compression in ("none", "zip", "blosc"):
        grids = [
            _grid("density", fog),
            _grid("heat", fog * 300, properties=GridProperties(half=True)),
            _grid("velocity", wind),
            _grid("exact", fog.astype(np.float64)),
            _grid("nothing", np.zeros((1, 1, 1), np.float32)),
            _grid("specks", specks),
        ]
        made.append(folder / f"made_{compression}.vdb")
        write_vdb(made[-1], grids if compression != "blosc" else grids[:1], compression=compression)
    return made


def _specks(folder: Path) -> list[Path]:
    """Grids of one leaf, one a file, whose archives are decoded in no time."""
    rng = np.random.default_rng(3)
    fog, wind = rng.random((5, 6, 7), np.float32), rng.random((6, 5, 4, 3), np.float32)
    grids = [
        _grid("density", fog),
        _grid("heat", fog * 300, properties=GridProperties(half=True)),
        _grid("exact", fog.astype(np.float64)),
        _grid("velocity", wind),
        _grid("surface", fog - 0.5, background=3.0, properties=GridProperties(grid_class="level set")),
    ]
    for grid in grids:
        write_vdb(folder / f"speck_{grid.name}.vdb", [grid])
    return [folder / f"speck_{grid.name}.vdb" for grid in grids]


def _mixed(folder: Path, fog: np.ndarray) -> Path:
    """A file with a level set, a grid that shares its tree, and one of a type that OpenVDB does not know."""
    first = _grid("surface", fog, background=3.0, properties=GridProperties(grid_class="level set"))
    again = replace(first, unique_name=b"again", storage=Storage.INSTANCE, parent=b"surface", tree=None)
    path = folder / "made_odd.vdb"
    write_vdb(path, [first, again, _grid("strange", fog.astype(np.float64))], compression="none")
    path.write_bytes(path.read_bytes().replace(b"Tree_double_5_4_3", b"Tree_dragon_5_4_3"))
    return path


def _rod(folder: Path) -> Path:
    """A grid of two chunks, noise in one of them: its levels are large enough for sections of their own."""
    values = np.zeros((1310, 28, 28), np.float32)
    values[:28] = np.random.default_rng(1).random((28, 28, 28), np.float32)
    values[-9:, :9, :9] = 0.5
    path = folder / "made_rod.vdb"
    write_vdb(path, [_grid("density", values)])
    return path


def _tiles(folder: Path, fog: np.ndarray) -> Path:
    """A grid of few bytes with 10^12 active voxels: tiles of the root, and all of an upper node but one slot."""
    grid = _grid("density", fog)
    tree = grid.tree
    active = ~tree.upper.child[:1]
    values = np.full_like(tree.upper.values, 0.25)
    origins = np.array([(4096 * x, 0, 4096) for x in range(15)], np.int32)
    root = replace(
        tree.root,
        tile_origins=origins,
        tile_active=np.ones(15, np.uint8),
        tile_values=np.full(15, 0.5, np.float32),
    )
    tree = replace(tree, root=root, upper=replace(tree.upper, active=active, values=values))
    path = folder / "made_tiles.vdb"
    write_vdb(path, [replace(grid, tree=tree)])
    return path


def _alike(folder: Path) -> Path:
    """A rough fog in a haze, and another whose mask is nearly that of the first."""
    rng = np.random.default_rng(1)
    radius = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0) + rng.normal(0, 0.7, (40, 40, 40))
    fog = (np.maximum(0, 1 - radius / 12) + 0.01 * (radius < 18)).astype(np.float32)
    path = folder / "made_alike.vdb"
    write_vdb(path, [_grid("density", fog), _grid("temperature", fog * (rng.random(fog.shape) > 0.02))])
    return path


def _grid(name: str, values: np.ndarray, **options: object) -> VolumeGrid:
    active = (values != 0).reshape(*values.shape[:3], -1).any(-1)
    return from_dense(values, name=name, active=active, **options)


def _vdb_seed(path: Path) -> Seed:
    hot = [(0, 200)]
    for entry in VdbReader(path).entries:
        hot += [(entry.grid_pos - 80, entry.grid_pos + 8), (entry.grid_pos, entry.grid_pos + 600)]
        hot += [(max(entry.grid_pos, entry.block_pos - 1000), entry.block_pos), (entry.block_pos, entry.block_pos + 16)]
    return Seed(path.name, path.read_bytes(), hot)


def _archive_seed(path: Path, folder: Path, settings: CompressSettings) -> Seed:
    name = path.stem + (" lossy" if settings.bounds else f" {settings.quality}" if settings.lossy else "")
    name += " pruned" if settings.topology == "pruned" else ""
    name += " refined" if settings.embed_priors else ""
    archive, back = folder / f"{name}.neuralvdb", folder / f"{name}.back.vdb"
    compress(path, archive, replace(settings, threads=1, force=True))
    decoded: dict[tuple[str, ...], bytes | None] = dict.fromkeys(OPTIONS)
    for options, meaning in OPTIONS.items():
        with contextlib.suppress(Unsupported):
            decompress(archive, back, replace(meaning, threads=1, force=True))
            decoded[options] = back.read_bytes()
    data = archive.read_bytes()
    pieces = _pieces(archive)
    hot = [(0, 64), (len(data) - 200, len(data))]
    return Seed(name, data, hot, pieces, decoded)


def _pieces(archive: Path) -> list[Piece]:
    """The sections of an archive with the streams that reading them takes."""
    taken: list[Stream] = []
    by_payload: dict[bytes, list[Stream]] = {}

    def take(source, dtype, count):
        begin = source._at
        array = real(source, dtype, count)
        taken.append(Stream(begin, source._at, np.array(array)))
        by_payload.setdefault(bytes(source._data), []).append(taken[-1])
        return array

    from neuralvdb.archive import take_array as real

    patches = [mock.patch(f"neuralvdb.{name}.take_array", take) for name in _TAKERS]
    for patch in patches:
        patch.start()
    try:
        with FrameReader(archive) as frame:
            for index in range(len(frame.grids)):
                frame.read(index)
            payloads = [(section, frame.archive.read(section)) for section in frame.archive.sections]
    finally:
        for patch in patches:
            patch.stop()
    return [Piece(section, payload, tuple(by_payload.get(payload, ()))) for section, payload in payloads]
