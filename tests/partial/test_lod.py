"""--lod gives what the lattice holds at that level, in the right place, and reads no finer layer."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile, Unsupported
from neuralvdb.settings import Bound, Box
from neuralvdb.topology import Topology
from neuralvdb.topology import chunks as topology_chunks
from neuralvdb.values import encoder
from neuralvdb.values.chunk_sections import ChunkReader, ChunkSections
from neuralvdb.values.decoder import ValuesDecoder, ValuesSource
from neuralvdb.values.lattice import chunks, priors, tables
from neuralvdb.values.lattice.chunks import ChunkComponent
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.mean import MeanLattice
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.promise import mean_promise
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume import Storage, VolumeGrid
from neuralvdb.volume.grid import TREE_TYPES, unpack

LODS = (1, 2, 3)
MODES = {
    "lossless": CompressSettings(quality="lossless"),
    "sample": CompressSettings(bounds=(Bound(value=0.01, relative=False),)),
    "mean": CompressSettings(quality="production"),
}
FULL = ((-20, -9, -13), (30, 13, 15))  # the rod's near end, corners included


def archived(grids: list, folder: Path, settings: CompressSettings) -> Path:
    write_vdb(folder / "in.vdb", grids)
    neuralvdb.compress(folder / "in.vdb", folder / "a.neuralvdb", replace(settings, threads=1))
    return folder / "a.neuralvdb"


def decompressed(archive: Path, target: Path, **options: object) -> list:
    neuralvdb.decompress(archive, target, DecompressSettings(threads=1, force=True, **options))
    return list(VdbReader(target))


def slow_cells(values: np.ndarray, active: np.ndarray, lod: int, *, averaged: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a dense box that begins at a multiple of 2**lod, one by one."""
    edge = 1 << lod
    shape = tuple(n // edge for n in active.shape)
    out, on = np.empty((*shape, values.shape[-1])), np.zeros(shape, bool)
    for at in np.ndindex(*shape):
        box = tuple(slice(i * edge, (i + 1) * edge) for i in at)
        block, mask = values[box].reshape(edge**3, -1).astype(np.float64), active[box].reshape(-1)
        if averaged and mask.any():
            out[at], on[at] = block[mask].mean(0), True
        else:
            out[at], on[at] = block[0], mask[0]
    return out, on


def with_room(grid: VolumeGrid) -> VolumeGrid:
    """The grid with a voxel far below all others and one far above, both in its first leaf, so that no other voxel
    decodes to beyond the range: voxels that are clamped do not have the mean that the lattice holds."""
    leaf = grid.tree.leaf
    values = leaf.values.copy()
    on = np.argwhere(unpack(leaf.active))
    for (leaf_number, voxel), value in zip(on[[0, 1]], (0, 4), strict=True):
        values[leaf_number, voxel] = value
    return replace(grid, tree=replace(grid.tree, leaf=replace(leaf, values=values)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["fog", "level set", "vec3s", "double", "half"])
def test_cells_are_means_or_samples_of_the_full_decode(rod, dense_of, tmp_path, kind, mode):
    properties = GridProperties(grid_class="level set" if kind == "level set" else "unknown", half=kind == "half")
    dtype, components = "f8" if kind == "double" else "f4", 3 if kind == "vec3s" else 1
    grid = with_room(rod(dtype, components, 3.0 if kind == "level set" else 0.0, properties))
    archive = archived([grid], tmp_path, MODES[mode])
    (full,) = decompressed(archive, tmp_path / "full.vdb")
    with FrameReader(archive) as frame:
        promise = frame.promise(0)
    averaged = promise.mode.lattice is LatticeKind.MEAN if promise else kind != "level set"
    assert averaged == (
        (mode == "mean" and kind in ("fog", "double", "half")) or (mode == "lossless" and kind != "level set")
    )
    for lod in LODS:
        (coarse,) = decompressed(archive, tmp_path / "b.vdb", lod=lod)
        assert (coarse.grid_type, coarse.half, coarse.metadata) == (full.grid_type, full.half, full.metadata)
        assert coarse.tree.root.background.tobytes() == full.tree.root.background.tobytes()
        allowed = 0 if not averaged else 2e-3 if kind == "half" or mode == "mean" else 1e-6
        for low in ((-24, -16, -16), (1256, -16, -16), (48, -8, -8), (120, 120, 0), (4080, 0, 0)):
            values, active = dense_of(full, low, np.array(low) + 31)
            expected, on = slow_cells(values, active, lod, averaged=averaged)
            first = np.array(low) >> lod
            decoded, decoded_on = dense_of(coarse, first, first + (32 >> lod) - 1)
            np.testing.assert_array_equal(decoded_on, on)
            np.testing.assert_allclose(decoded, expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("lod", LODS)
@pytest.mark.parametrize("knee", [0.0, 0.2])
def test_a_mean_lattice_gives_its_means_as_cells(rod, lod, knee):
    """What stopping early gives is bit for bit what the whole decode passes through."""
    tree = rod().tree
    encoded = encoder.encode(tree, mean_promise(step=0.05, knee=knee))
    dtype, components = TREE_TYPES["Tree_float_5_4_3"]
    reader = ValuesDecoder(ValuesSource.of(encoded, "test"))
    values, active = reader.cells(lod)
    predictor = Predictor(priors.load("fog-mean").networks)
    lattice = MeanLattice(quantiser=reader.promise.quantiser, predictor=predictor)
    row_tables = tables.tables_of(encoded.table_rows, priors.shipped().freq)
    sections = ChunkSections(payloads=encoded.chunks, components=components, tables=row_tables, where="test", threads=1)
    for number, chunk in enumerate(chunks.chunks_of(tree)):
        pyramid = lattice.blank_pyramid(ChunkComponent.of(reader.tree, chunk, 0))
        streams = ChunkReader(sections, number, chunk).component(0)
        cells = list(lattice.decode_levels(pyramid, streams))[-1 - 3 * lod]
        decoded, coded = reader.promise.decoded(cells.means, dtype, 0), cells.level.coded != 0
        on = active[chunk.leaves]
        assert on.sum() == coded.sum()
        means = values[chunk.leaves, :, 0][on]
        assert sorted(means.tolist()) == sorted(decoded[: len(coded)][coded].tolist())


@pytest.mark.parametrize("knee", [0.0, 0.2])
def test_means_are_those_of_the_voxels(rod, knee):
    tree = with_room(rod()).tree
    promise = mean_promise(step=0.05, knee=knee)
    coded = encoder.encode(tree, promise)
    reader = ValuesDecoder(ValuesSource.of(coded, "test"))
    for lod in LODS:
        values, active = reader.cells(lod)
        edge, count = 8 >> lod, 1 << lod
        blocks = [
            a.reshape(-1, *(edge, count) * 3).transpose(0, 1, 3, 5, 2, 4, 6).reshape(*active.shape, -1)
            for a in (coded.tree.leaf.values, unpack(tree.leaf.active))
        ]
        expected = np.where(blocks[1], blocks[0], 0).sum(-1, dtype=float) / np.maximum(blocks[1].sum(-1), 1)
        unit = promise.quantiser.unit
        off = np.abs(values[..., 0] - expected)[1:]  # but the leaf with room
        assert off[active[1:]].max() <= 1.5 * 3 * lod * unit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lod", LODS)
def test_features_stay_where_they_are_in_the_world(probe, tmp_path, mode, lod):
    """A field that is its own world position x is that in every coarse voxel, too."""
    x = np.indices((48, 24, 32))[0].astype(np.float32)
    size = 0.25
    values = (x - 24) * size
    properties = GridProperties(voxel_size=size)
    grid = from_dense(values, name="x", active=np.ones(x.shape, bool), origin=(-24, -8, 40), properties=properties)
    archive = archived([grid], tmp_path, MODES[mode])
    decompressed(archive, tmp_path / "b.vdb", lod=lod)
    low = np.array((-24, -8, 40)) >> lod
    high = low + (np.array(x.shape) >> lod) - 1
    probed = probe(tmp_path / "b.vdb", low, high)["x"]
    assert probed["active_voxels"] == x.size >> 3 * lod
    assert probed["active_bbox"] == [low.tolist(), high.tolist()]
    decoded, world = np.array(probed["values"]), np.array(probed["world"])
    assert all(probed["active"])
    assert np.abs(decoded - world[:, 0]).max() < (1e-5 if mode == "lossless" else 0.011 if mode == "sample" else 0.2)
    assert abs((decoded - world[:, 0]).mean()) < 0.01
    steps = np.diff(world.reshape(*(high - low + 1), 3), axis=0)[..., 0]
    np.testing.assert_allclose(steps, size * 2**lod)


@pytest.mark.parametrize("kind", ["affine", "frustum"])
@pytest.mark.parametrize("lod", LODS)
def test_every_kind_of_map_is_scaled(make_odd, probe12, tmp_path, kind, lod):
    source = make_odd(kind, tmp_path / "odd.vdb")
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    decompressed(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", lod=lod)
    (coarse,) = probe12(tmp_path / "b.vdb", (-1, -1, -1), (1, 1, 1)).values()
    edge, shift = 1 << lod, ((1 << lod) - 1) / 2
    (fine,) = probe12(source, (-9, -9, -9), (16, 16, 16)).values()
    world = np.array(fine["world"]).reshape(26, 26, 26, 3)

    def at(point: np.ndarray) -> np.ndarray:
        """World position of a point between voxels: the mean of the corners, exact for maps that are affine."""
        low = np.floor(point).astype(int) + 9
        return world[tuple(slice(i, i + 2) for i in low)].reshape(-1, 3).mean(0)

    corners = [np.array(c) - 1 for c in np.ndindex(3, 3, 3)]
    for c, decoded in zip(corners, coarse["world"], strict=True):
        np.testing.assert_allclose(decoded, at(edge * c + shift), rtol=0, atol=1e-9 if kind == "affine" else 2e-2)


def test_an_instance_lies_where_its_tree_does(make_odd, probe12, tmp_path):
    source = make_odd("instance", tmp_path / "odd.vdb")
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    _, second = decompressed(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", lod=1)
    assert second.storage is Storage.INSTANCE
    probed = probe12(tmp_path / "b.vdb", (0, 0, 0), (1, 1, 1))
    assert probed["first"]["world"][0] == [0.5, 0.5, 0.5]
    assert probed["second"]["world"][0] == [0.25, 0.25, 0.25]
    assert probed["second"]["world"][-1] == [1.25, 1.25, 1.25]
    assert probed["first"]["active_voxels"] == probed["second"]["active_voxels"] == 64 * 64 * 8 + 1


@pytest.mark.parametrize("lod", LODS)
def test_tiles_become_smaller_tiles(rod, tmp_path, lod):
    archive = archived([rod()], tmp_path, MODES["mean"])
    (coarse,) = decompressed(archive, tmp_path / "b.vdb", lod=lod, box=Box((64, -100, -100), (1000, 200, 200)))
    assert np.bitwise_count(coarse.tree.leaf.active).sum() == 8 >> lod << 2 * (3 - lod)
    assert np.bitwise_count(coarse.tree.lower.active).sum() == (16 >> lod) ** 3
    (coarse,) = decompressed(archive, tmp_path / "b.vdb", lod=lod, box=Box((4096, 0, 0), (8191, 4095, 4095)))
    assert np.bitwise_count(coarse.tree.upper.active).sum() == (32 >> lod) ** 3
    assert len(coarse.tree.leaf) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_box_of_a_coarser_grid_is_all_it_touches(rod, dense_of, tmp_path, mode):
    archive = archived([rod()], tmp_path, MODES[mode])
    for lod in LODS:
        (whole,) = decompressed(archive, tmp_path / "b.vdb", lod=lod)
        box = Box((-13, -4, -7), (9, 5, 6))
        (cut,) = decompressed(archive, tmp_path / "c.vdb", lod=lod, box=box)
        low, high = np.array(box.low) >> lod, np.array(box.high) >> lod
        for of_box, of_whole in zip(dense_of(cut, low, high), dense_of(whole, low, high), strict=True):
            assert of_box.tobytes() == of_whole.tobytes()
        assert np.bitwise_count(cut.tree.leaf.active).sum() == dense_of(whole, low, high)[1].sum()
        assert cut.transform == whole.transform


@pytest.mark.parametrize("options", [["--quality", "master"], ["--rel-error", "0.02%"]])
def test_finer_layers_are_not_read(sample, damage, nvdb, tmp_path, options):
    assert nvdb("compress", sample, "-o", "a.neuralvdb", "--grids", "density", *options).returncode == 0
    archive = tmp_path / "a.neuralvdb"
    with FrameReader(archive) as frame:
        layers = {s.part % 4 for s in frame.archive.sections if s.kind == "TILE"}
    assert layers >= {0, 3}
    for layer in layers - {0}:
        bad = damage(archive, lambda s, first=layer: s.kind == "TILE" and s.part % 4 >= first)
        decompressed(archive, tmp_path / "a.vdb", lod=4 - layer)
        decompressed(bad, tmp_path / "b.vdb", lod=4 - layer)
        assert (tmp_path / "a.vdb").read_bytes() == (tmp_path / "b.vdb").read_bytes()
        with pytest.raises(DamagedFile, match="TILE"):
            decompressed(bad, tmp_path / "b.vdb", lod=3 - layer)


def test_exact_values_stay_exact_in_samples(tmp_path):
    values = np.ones((16, 16, 16), np.float32)
    values += np.random.default_rng(1).random(values.shape, np.float32)
    values[4, 8, 0], values[5, 8, 0] = np.nan, np.inf
    grid = from_dense(values, name="g", active=np.ones(values.shape, bool))
    archive = archived([grid], tmp_path, MODES["sample"])
    (coarse,) = decompressed(archive, tmp_path / "b.vdb", lod=2)
    decoded = coarse.tree.leaf.values.reshape(8, 8, 8)
    assert np.isnan(decoded[1, 2, 0])
    assert np.isfinite(decoded).sum() == 511


def test_grids_without_levels_of_detail_are_left_out_and_said(make_odd, nvdb, tmp_path):
    make_odd("types", tmp_path / "odd.vdb")
    with mock.patch.multiple(topology_chunks, SPARSE=8, CROWD=2048):  # as the command has them
        neuralvdb.compress(tmp_path / "odd.vdb", tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    done = nvdb("decompress", "a.neuralvdb", "--lod", "1", "-o", "b.vdb")
    assert done.returncode == 0
    assert [line.split("'")[1] for line in done.stderr.splitlines()] == [
        "Int32Grid",
        "Int64Grid",
        "BoolGrid",
        "Vec3IGrid",
        "[0]",
    ]
    assert done.stderr.count("is left out") == 5
    assert [grid.name for grid in VdbReader(tmp_path / "b.vdb").entries] == ["DoubleGrid", "Vec3DGrid"]
    with pytest.raises(Unsupported, match="levels of detail"):
        decompressed(tmp_path / "a.neuralvdb", tmp_path / "c.vdb", lod=1, grids=("BoolGrid",))
    assert not (tmp_path / "c.vdb").exists()


@pytest.mark.parametrize("lod", [-1, 4])
def test_a_level_that_does_not_exist(tmp_path, lod):
    with pytest.raises(ValueError, match="level of detail"):
        neuralvdb.decompress(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", DecompressSettings(lod=lod))


@pytest.mark.parametrize("name", ["empty", "one voxel"])
@pytest.mark.parametrize("mode", MODES)
def test_tiny_grids(tmp_path, mode, name):
    active = np.zeros((9, 9, 9), bool)
    active[5, 5, 5] = name == "one voxel"
    archive = archived([from_dense(np.ones(active.shape, np.float32), name="g", active=active)], tmp_path, MODES[mode])
    for lod in LODS:
        for box in (None, Box((0, 0, 0), (8, 8, 8))):
            (coarse,) = decompressed(archive, tmp_path / "b.vdb", lod=lod, box=box)
            assert Topology.of(coarse.tree).counts[3] == active.any()
