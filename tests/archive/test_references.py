"""Grids that are coded with an earlier one of their frame in view."""

import time
from dataclasses import replace

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import NO_GRID
from neuralvdb.cli.info import info_text
from neuralvdb.codec import earlier
from neuralvdb.codec.earlier import EarlierGrids, Source
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.grid_reference import GridAt, GridReference, MovedGrid, pack_references, unpack_references
from neuralvdb.errors import DamagedFile
from neuralvdb.motion import Blocks, Motion
from neuralvdb.settings import Box
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

MOVED = MovedGrid(
    source=GridAt(1),
    velocities=(GridAt(0), GridAt(5, frame=1)),
    motion=Motion(unit=0.5, factor=2.0, shift=(1, -2, 3)),
    gain=-1.5,
)
BEFORE = MovedGrid(source=GridAt(4, frame=1), motion=Motion(unit=0.25, cubic=True, staggered=True), gain=1.0)
BY_BLOCKS = MovedGrid(
    source=GridAt(6, frame=1),
    motion=Motion(unit=0.5, blocks=Blocks((-1, 0, 2), (1, 1, 1), bytes([4, 253, 0]))),
    gain=1.0,
)
REFERENCES = {
    3: GridReference((MOVED,)),
    4: GridReference((BEFORE,)),
    6: GridReference((BY_BLOCKS, replace(BEFORE, source=GridAt(50, frame=2)))),
}
GOLDEN = (
    "03 03 14 03 00 10 01fe03 0000e03f 00f8bf 000040"  # shift, unit, gain, factor
    "04 03 0d 0000d03f 00f03f"
    "06 38 13 0000e03f 00f03f 01 01 00 01 04 01 01 02 1007"  # blocks, and another source
    "03 9801 0000d03f 00f03f"
)


def test_bytes():
    assert pack_references(REFERENCES).hex() == bytes.fromhex(GOLDEN).hex()
    assert unpack_references(bytes.fromhex(GOLDEN), "here") == REFERENCES


@pytest.mark.parametrize(
    "changed",
    [
        {"source": GridAt(3)},
        {"velocities": (GridAt(4),)},
        {"gain": np.nan},
        {"motion": Motion(unit=0.0, factor=1.0)},
        {"motion": Motion(unit=1.0, factor=0.0)},
        {"motion": Motion(unit=1.0, blocks=Blocks((0, 0, 0), (1, 1, 1), b"AAA")), "velocities": ()},
        {"motion": Motion(unit=1.0, blocks=Blocks((1 << 40, 0, 0), (1, 1, 1), b"AAA")), "velocities": ()},
    ],
    ids=str,
)
def test_references_that_make_no_sense_are_damage(changed):
    with pytest.raises(DamagedFile, match="here: the reference of grid 3 makes no sense"):
        unpack_references(pack_references({3: GridReference((BEFORE, replace(MOVED, **changed)))}), "here")


@pytest.mark.parametrize("changed", [{"gain": 0.1}, {"motion": Motion(unit=0.1, factor=1.0)}], ids=str)
def test_references_have_few_bits(changed):
    with pytest.raises(ValueError, match=r"0\.1 has more bits than a reference stores"):
        pack_references({3: GridReference((replace(MOVED, **changed),))})


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"\xff\xff\x7f" + b[1:]])
def test_damage_is_noticed(damage):
    with pytest.raises(DamagedFile, match="here: "):
        unpack_references(damage(bytes.fromhex(GOLDEN)), "here")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A .vdb of a cloud, the same moved by a wind, and again brighter; and its archive."""
    folder = tmp_path_factory.mktemp("references")
    rng = np.random.default_rng(3)
    cloud = rng.normal(size=(40, 40, 40)).cumsum(0).cumsum(1) * 0.02 + rng.normal(0, 0.05, (40, 40, 40))
    ball = (np.indices(cloud.shape) - 19.5).__pow__(2).sum(0) < 350
    wind = np.zeros((*cloud.shape, 3), "f4")
    wind[..., 0] = 4 + 0.1 * rng.normal(size=cloud.shape)
    grids = [
        from_dense(wind, name="velocity", active=np.ones(cloud.shape, bool)),
        from_dense((cloud * ball).astype("f4"), name="density", active=ball),
        from_dense((np.roll(cloud, 1, axis=0) * ball).astype("f4"), name="density_inflow", active=ball),
        from_dense((3 * cloud * ball).astype("f4"), name="temperature", active=ball),
    ]
    write_vdb(folder / "a.vdb", grids)
    neuralvdb.compress(folder / "a.vdb", folder / "a.neuralvdb", rel_error=0.01)
    return folder / "a.vdb", folder / "a.neuralvdb"


def test_grids_that_resemble_earlier_ones_are_coded_with_them_in_view(files):
    source, archive = files
    with FrameReader(archive) as frame:
        references = {number: frame.index.references.get(number) for number in range(4)}
        sizes = [sum(frame.index.sizes(number).values()) for number in range(4)]
    assert references[0] is references[1] is None
    (moved,), (brighter,) = references[2].moved, references[3].moved
    assert moved.velocities == (GridAt(0),)
    assert 0.15 < moved.motion.factor < 0.3  # voxels by which a velocity of 1 moves: 0.25
    assert brighter.gain == pytest.approx(3, rel=0.1)
    assert max(sizes[2:]) < 0.6 * sizes[1]
    assert neuralvdb.verify(archive, source).differences == []
    report = neuralvdb.info(archive)
    assert [grid.references for grid in report.grids] == [[], [], [["density", "velocity"]], [["density"]]]
    assert "coded by others: density_inflow by density along velocity, temperature by density" in info_text(
        report, False
    )


def test_any_of_them_decodes_alone_and_in_part(files, tmp_path):
    _, archive = files
    neuralvdb.decompress(archive, tmp_path / "all.vdb")
    neuralvdb.decompress(archive, tmp_path / "one.vdb", grids=["temperature"])
    whole = {grid.name: grid for grid in VdbReader(tmp_path / "all.vdb")}
    (alone,) = VdbReader(tmp_path / "one.vdb")
    np.testing.assert_array_equal(alone.tree.leaf.values, whole["temperature"].tree.leaf.values)
    box = Box((8, 8, 8), (15, 15, 15))
    neuralvdb.decompress(archive, tmp_path / "part.vdb", grids=["density_inflow"], box=box)
    (cut,) = VdbReader(tmp_path / "part.vdb")
    of_whole = whole["density_inflow"].tree
    at = np.flatnonzero((of_whole.leaf_origins == cut.tree.leaf_origins[0]).all(1))
    np.testing.assert_array_equal(cut.tree.leaf.values[0], of_whole.leaf.values[at[0]])
    neuralvdb.decompress(archive, tmp_path / "coarse.vdb", grids=["temperature"], lod=1)


@pytest.mark.parametrize(
    "references",
    [
        {9: GridReference((replace(BEFORE, source=GridAt(1)),))},
        {1: GridReference((replace(BEFORE, source=GridAt(0)),))},
        {3: GridReference((replace(MOVED, velocities=(GridAt(1),)),))},
        {3: GridReference((BEFORE,))},
        {},
    ],
    ids=["of no grid", "to a vector", "velocities that are none", "to a frame before the first one", "none"],
)
def test_references_that_fit_no_grid_are_damage(files, monkeypatch, references):
    _, archive = files
    with FrameReader(archive) as frame:
        section = frame.index.find("REFS", NO_GRID)
        payload = frame.archive.read(section)
        read = frame.archive.read
        monkeypatch.setattr(
            type(frame.archive), "read", lambda self, wanted: payload if wanted == section else read(wanted)
        )
        payload = pack_references(references)
        with pytest.raises(DamagedFile):
            index = type(frame.index)(frame.archive)
            frame.index = index
            frame._decoder._index = index
            frame.read(3)


@pytest.mark.parametrize("strange_value", [np.nan, np.inf, 3e38])
def test_values_that_are_not_finite_come_back(tmp_path, strange_value):
    """Beside grids that resemble them, and winds that blow nowhere."""
    cloud = np.random.default_rng(4).normal(size=(16, 16, 16)).cumsum(0).astype("f4")
    strange = cloud.copy()
    strange[3, 4, 5] = strange_value
    nowhere = from_dense(np.zeros((8, 8, 8, 3), "f4"), name="velocity", active=np.zeros((8, 8, 8), bool))
    grids = [from_dense(values, name=name) for name, values in {"a": cloud, "b": strange, "c": cloud + 1}.items()]
    write_vdb(tmp_path / "a.vdb", [nowhere, *grids])
    neuralvdb.compress(tmp_path / "a.vdb", tmp_path / "a.neuralvdb", max_error=0.1)
    assert neuralvdb.verify(tmp_path / "a.neuralvdb", tmp_path / "a.vdb").differences == []


def test_grids_too_large_to_be_kept_in_view_are_coded_alone(files, monkeypatch, tmp_path):
    monkeypatch.setattr("neuralvdb.codec.earlier._KEPT", 1 << 10)
    source, _ = files
    neuralvdb.compress(source, tmp_path / "alone.neuralvdb", rel_error=0.01, threads=1)
    with FrameReader(tmp_path / "alone.neuralvdb") as frame:
        assert frame.index.find("REFS", NO_GRID) is None
    assert neuralvdb.info(files[1]).grids[3].references == [["density"]]


@pytest.mark.parametrize("order", [range(7), range(6, -1, -1), (1, 3, 0, 2, 6, 5, 4)], ids=list)
def test_the_last_grids_are_kept_as_far_as_they_fit(monkeypatch, order):
    """Whatever the order in which they are done, and though each is put twice, as encoders do."""
    active = np.ones((8, 8, 8), bool)
    tree = from_dense(active.astype(np.float32), name="g", active=active).tree
    monkeypatch.setattr(earlier, "_KEPT", 3 * tree.leaf.values.nbytes)
    grids = EarlierGrids([], keeps=True)
    for number in range(7):
        grids.announce(number, None if number == 5 else tree)
    for number in order:
        grids.put(number, None if number == 5 else Source(number=number, tree=tree))
        grids.put(number, None)
    assert [source.number for source in grids.all_before(7, 1)] == [6, 4, 3]
    assert [source.number for source in grids.all_before(6, 1)] == [4, 3]
    assert [source.number for source in grids.done()] == [3, 4, 6]


def test_grids_by_the_thousand_cost_what_one_costs():
    """Instances, say, which no grid refers to."""
    grids, began = EarlierGrids([], keeps=True), time.process_time()
    for number in range(8000):
        grids.announce(number, None)
        grids.put(number, None)
    assert time.process_time() - began < 1  # it was 30
