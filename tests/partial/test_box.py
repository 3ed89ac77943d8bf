"""--bbox gives what a cut of the full decode gives, and reads no more than it needs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound, Box
from neuralvdb.topology import Topology
from neuralvdb.vdb import GridProperties, VdbReader, write_vdb
from neuralvdb.volume import Storage, VolumeGrid

MODES = {
    "lossless": CompressSettings(quality="lossless"),
    "sample": CompressSettings(bounds=(Bound(value=0.01, relative=False),)),
    "mean": CompressSettings(quality="production"),
}
KINDS = {
    "float": ("f4", 1, {}),
    "half": ("f4", 1, {"properties": GridProperties(half=True)}),
    "level set": ("f4", 1, {"properties": GridProperties(grid_class="level set"), "background": 3.0}),
    "double": ("f8", 1, {}),
    "vec3s": ("f4", 3, {}),
    "vec3d": ("f8", 3, {"background": 0.5}),
}
BOXES = {
    "one voxel": Box((-1, 2, -1), (-1, 2, -1)),
    "across the origin": Box((-13, -4, -7), (9, 5, 6)),
    "far end": Box((1270, -20, -20), (1290, 3, 40)),
    "part of a tile of 8": Box((61, 2, -3), (75, 5, 6)),
    "part of a tile of 128": Box((120, 100, 3), (140, 131, 9)),
    "part of the root's tile": Box((4090, 5, 7), (4107, 9, 12)),
    "nothing": Box((500, 500, 500), (510, 510, 510)),
    "nothing at the edge of 32 bits": Box((-(1 << 31),) * 3, (-(1 << 31) + 5,) * 3),
}


def compressed(grids: list[VolumeGrid], folder: Path, settings: CompressSettings) -> Path:
    write_vdb(folder / "in.vdb", grids)
    neuralvdb.compress(folder / "in.vdb", folder / "a.neuralvdb", replace(settings, threads=1))
    return folder / "a.neuralvdb"


def decompressed(archive: Path, target: Path, **options: object) -> list[VolumeGrid]:
    neuralvdb.decompress(archive, target, DecompressSettings(threads=1, force=True, **options))
    return list(VdbReader(target))


@pytest.fixture(scope="module")
def archives(rod, tmp_path_factory):
    """The archive of a kind of grid coded in some way, and its full decode."""
    made = {}

    def get(kind: str, mode: str) -> tuple[Path, VolumeGrid]:
        if (kind, mode) not in made:
            folder = tmp_path_factory.mktemp("box")
            dtype, components, options = KINDS[kind]
            archive = compressed([rod(dtype, components, **options)], folder, MODES[mode])
            made[kind, mode] = archive, decompressed(archive, folder / "full.vdb")[0]
        return made[kind, mode]

    return get


def assert_cut(cut: VolumeGrid, full: VolumeGrid, box: Box, dense_of) -> None:
    low, high = np.array(box.low) - 9, np.array(box.high) + 9
    values, active = dense_of(full, low, high)
    in_box = np.zeros(active.shape, bool)
    in_box[9:-9, 9:-9, 9:-9] = True
    values[~in_box], active[~in_box] = full.tree.root.background, False
    decoded, on = dense_of(cut, low, high)
    np.testing.assert_array_equal(on, active)
    assert decoded.tobytes() == values.tobytes()
    with_tiles = [np.bitwise_count(level.active).sum() for level in cut.tree.levels]
    assert with_tiles[0] == cut.tree.root.tile_active.sum() == 0
    assert 512 * with_tiles[1] + with_tiles[2] == active.sum()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_box_is_a_cut_of_the_whole(archives, dense_of, tmp_path, kind, mode):
    archive, full = archives(kind, mode)
    for box in BOXES.values():
        if min(box.low) < -(1 << 30):
            continue
        (cut,) = decompressed(archive, tmp_path / "b.vdb", box=box)
        assert_cut(cut, full, box, dense_of)
        assert (cut.grid_type, cut.half, cut.transform) == (full.grid_type, full.half, full.transform)
        assert cut.metadata == full.metadata


@pytest.mark.parametrize("mode", MODES)
def test_a_box_around_everything_keeps_every_voxel(archives, dense_of, tmp_path, mode):
    archive, full = archives("float", mode)
    (cut,) = decompressed(archive, tmp_path / "b.vdb", box=Box((-(1 << 20),) * 3, (1 << 20,) * 3))
    assert neuralvdb.diff(archive, tmp_path / "b.vdb").grids[0].max_error == 0
    for low in ((-20, -9, -13), (1260, -9, -13), (60, 0, 0), (130, 0, 0), (4096, 0, 0)):
        high = np.array(low) + 20
        assert [a.tobytes() for a in dense_of(cut, low, high)] == [a.tobytes() for a in dense_of(full, low, high)]


@pytest.mark.parametrize("name", ["nothing", "nothing at the edge of 32 bits"])
@pytest.mark.parametrize("mode", MODES)
def test_a_box_that_meets_nothing_gives_an_empty_grid(archives, tmp_path, mode, name):
    archive, full = archives("float", mode)
    (cut,) = decompressed(archive, tmp_path / "b.vdb", box=BOXES[name])
    assert Topology.of(cut.tree).counts == (0, 0, 0, 0)
    assert cut.tree.root.background == full.tree.root.background


def test_other_openvdbs_see_the_cut(probe, archives, tmp_path):
    archive, _ = archives("float", "mean")
    box = BOXES["part of a tile of 8"]
    decompressed(archive, tmp_path / "full.vdb")
    decompressed(archive, tmp_path / "b.vdb", box=box)
    before, after = (probe(tmp_path / name, box.low, box.high)["g"] for name in ("full.vdb", "b.vdb"))
    assert after["active_voxels"] == sum(before["active"])
    for what in ("active", "values", "world", "class", "half"):
        assert after[what] == before[what]


@pytest.mark.parametrize("mode", ["sample", "mean"])
def test_damage_outside_of_the_box_does_not_matter(archives, damage, tmp_path, mode):
    archive, _ = archives("float", mode)
    with FrameReader(archive) as frame:
        numbers = [s.part for s in frame.archive.sections if s.kind == "TILE"]
    assert {number // 4 for number in numbers} == {0, 1}
    bad = damage(archive, lambda s: s.kind == "TILE" and s.part >= 4)
    near, far = BOXES["across the origin"], BOXES["far end"]
    (cut,) = decompressed(bad, tmp_path / "b.vdb", box=near)
    (expected,) = decompressed(archive, tmp_path / "c.vdb", box=near)
    assert cut.tree.leaf.values.tobytes() == expected.tree.leaf.values.tobytes()
    for options in ({"box": far}, {}):
        with pytest.raises(DamagedFile, match="TILE"):
            decompressed(bad, tmp_path / "b.vdb", **options)


def test_only_the_selected_grids_are_read(rod, damage, tmp_path):
    grids = [replace(rod(), unique_name=name) for name in (b"one", b"two")]
    grids[1].tree.leaf.values[:] += np.float32(1)
    write_vdb(tmp_path / "in.vdb", grids)
    neuralvdb.compress(tmp_path / "in.vdb", tmp_path / "a.neuralvdb", MODES["mean"])
    bad = damage(tmp_path / "a.neuralvdb", lambda s: s.kind in ("VALS", "TILE") and s.grid == 0)
    (two,) = decompressed(bad, tmp_path / "b.vdb", grids=("two",))
    assert two.name == "two"
    with pytest.raises(DamagedFile):
        decompressed(bad, tmp_path / "b.vdb", grids=("one",))


@pytest.mark.slow
def test_serial_grids_are_cut_by_openvdb(make_odd, probe12, tmp_path):
    source = make_odd("types", tmp_path / "odd.vdb")
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    low, high = (-11, -11, -11), (4, 3, 2)
    assert {
        g.storage for g in decompressed(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", box=Box((-5, -5, -5), (2, 9, 0)))
    }
    before, after = (probe12(path, low, high) for path in (source, tmp_path / "b.vdb"))
    voxels = list(np.ndindex(*(b - a + 1 for a, b in zip(low, high, strict=True))))
    in_box = [all(a <= x + o <= b for x, o, a, b in zip(at, low, (-5,) * 3, (2, 9, 0), strict=True)) for at in voxels]
    assert before.keys() == after.keys()
    for name, grid in after.items():
        old = before[name]
        assert grid["type"] == old["type"]
        for i, kept in enumerate(in_box):
            assert grid["active"][i] == (old["active"][i] and kept)
            if kept:
                assert grid["values"][i] == old["values"][i]
            else:
                assert not np.any(grid["values"][i])


def test_an_instance_shares_the_cut_tree(make_odd, probe12, tmp_path):
    source = make_odd("instance", tmp_path / "odd.vdb")
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    box = Box((3, 4, 5), (9, 130, 7))
    first, second = decompressed(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", box=box)
    assert (first.storage, second.storage, second.parent) == (Storage.TREE, Storage.INSTANCE, b"first")
    probed = probe12(tmp_path / "b.vdb", box.low, box.high)
    assert probed["first"]["active_voxels"] == probed["second"]["active_voxels"] == 7 * 124 * 3


def test_points_keep_the_leaves_that_meet_the_box(data, tmp_path):
    source = data / "openvdb-models" / "sphere_points.vdb"
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    notes = []
    settings = DecompressSettings(box=Box((0, 0, 0), (40, 40, 40)))
    report = neuralvdb.decompress(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", settings, note=notes.append)
    assert len(report.notes) == len(notes) == 1
    assert "points" in notes[0]
    before, after = (VdbReader(path).outline(0) for path in (source, tmp_path / "b.vdb"))
    assert 0 < after.leaves < before.leaves
    low, high = after.active_bbox
    assert min(low) >= 0
    assert max(high) < 48


def test_an_unknown_type_is_kept_whole_and_said(rod, tmp_path):
    write_vdb(tmp_path / "in.vdb", [rod("f8"), replace(rod(), unique_name=b"fog")])
    source = tmp_path / "odd.vdb"
    source.write_bytes((tmp_path / "in.vdb").read_bytes().replace(b"Tree_double_5_4_3", b"Tree_dragon_5_4_3"))
    neuralvdb.compress(source, tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
    notes = []
    box = DecompressSettings(box=BOXES["one voxel"])
    neuralvdb.decompress(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", box, note=notes.append)
    assert len(notes) == 1
    assert "'g' (Tree_dragon_5_4_3) is kept whole" in notes[0]
    strange, fog = VdbReader(tmp_path / "b.vdb")
    assert strange.blob == next(iter(VdbReader(source))).blob
    assert np.bitwise_count(fog.tree.leaf.active).sum() == 1


def test_statistics_in_the_metadata_are_those_of_the_cut(rod, probe12, tmp_path):
    stats = {"file_voxel_count": 5, "note": "mine"}
    archive = compressed([rod(properties=GridProperties(metadata=stats))], tmp_path, MODES["mean"])
    box = BOXES["across the origin"]
    decompressed(archive, tmp_path / "b.vdb", box=box)
    probed = probe12(tmp_path / "b.vdb", box.low, box.low)["g"]
    assert probed["metadata"]["file_voxel_count"] == str(probed["active_voxels"])
    assert probed["metadata"]["note"] == "'mine'"
    assert "file_bbox_min" not in probed["metadata"]


def test_two_boxes_are_two_files(archives, tmp_path):
    archive, _ = archives("float", "mean")
    written = {}
    for name in ("one voxel", "nothing", "one voxel"):
        decompressed(archive, tmp_path / "b.vdb", box=BOXES[name])
        uuid = VdbReader(tmp_path / "b.vdb").uuid
        assert written.setdefault(name, uuid) == uuid
    assert len(set(written.values())) == 2
