"""The same input gives the same bytes: with any number of threads, in any run, from the API and from `nvdb`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings
from neuralvdb.archive import ArchiveReader
from neuralvdb.settings import Bound
from neuralvdb.vdb import GridProperties, from_dense, write_vdb

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "sample").glob("*.vdb"))


def compressed(source: Path, target: Path, threads: int, **options: object) -> bytes:
    neuralvdb.compress(source, target, CompressSettings(**{"quality": "lossless", "threads": threads, **options}))
    return target.read_bytes()


def decompressed(source: Path, target: Path, threads: int, **options: object) -> bytes:
    neuralvdb.decompress(source, target, DecompressSettings(threads=threads, **options))
    return target.read_bytes()


def owners(path: Path, kind: str) -> list[int]:
    """Numbers of the grids that have a section of this kind."""
    with ArchiveReader(path, lambda *_: True) as archive:
        return [section.grid for section in archive.sections if section.kind == kind]


@pytest.fixture(scope="session")
def many_grids(tmp_path_factory) -> Path:
    """Eight grids: six of one topology with other values and types, one empty, one of another topology."""
    rng = np.random.default_rng(1)
    active = rng.random((24, 20, 33)) < 0.2
    shape, grids = active.shape, []
    for i, dtype in enumerate(("f4", "f8", "f4", "f8", "f4", "f8")):
        tail = (3,) if i > 3 else ()
        values, properties = rng.random((*shape, *tail)).astype(dtype), GridProperties(half=i == 2)
        grids.append(from_dense(values, name=f"g{i}", active=active, properties=properties))
    grids.append(from_dense(np.zeros(shape, "f4"), name="empty", active=np.zeros(shape, bool)))
    grids.append(from_dense(np.ones(shape, "f4"), name="other", active=~active))
    path = tmp_path_factory.mktemp("many") / "many.vdb"
    write_vdb(path, grids)
    return path


@pytest.fixture(params=[*SAMPLES, "many"], ids=lambda source: getattr(source, "name", source))
def source(request) -> Path:
    return request.getfixturevalue("many_grids") if request.param == "many" else request.param


def test_one_thread_is_two_threads(source, tmp_path):
    first, again, two, five = (compressed(source, tmp_path / f"{i}.neuralvdb", n) for i, n in enumerate((1, 1, 2, 5)))
    assert first == again
    assert first == two
    assert first == five


def test_fast_networks_give_the_same_bytes_on_two_threads(source, tmp_path):
    options = {"fast": True, "bounds": (Bound(value=0.01, relative=True),)}
    first, again, two = (compressed(source, tmp_path / f"{i}", n, **options) for i, n in enumerate((1, 1, 2)))
    assert first == again
    assert first == two


def test_grids_that_are_coded_from_each_other_give_the_same_bytes_on_many_threads(tmp_path):
    """Each from the one before or along the velocities, while others are still encoded; and so they are decoded."""
    noise = np.random.default_rng(2).normal(size=(9, 32, 24, 16)).cumsum(1).cumsum(2).cumsum(3).astype("f4")
    velocity = np.stack([noise[7], noise[8], noise[7]], -1)
    grids = [from_dense(velocity, name="velocity", active=noise[7] < np.inf)]
    for number in range(6):
        noise[0] = np.roll(noise[0], 1, 0) * 1.25 + noise[number + 1] / 30
        grids.append(from_dense(noise[0], name=f"g{number}", active=noise[0] < np.inf))
    write_vdb(tmp_path / "a.vdb", grids)
    bounds = (Bound(value=0.01, relative=True),)
    made = [compressed(tmp_path / "a.vdb", tmp_path / f"{n}.nvdb", n, bounds=bounds) for n in (1, 2, 3, 8)]
    assert made == [made[0]] * 4
    assert sum(bool(grid.references) for grid in neuralvdb.info(tmp_path / "1.nvdb").grids) >= 4
    back = [decompressed(tmp_path / "1.nvdb", tmp_path / f"{n}.vdb", n) for n in (1, 2, 3, 8)]
    assert back == [back[0]] * 4


def test_verifying_changes_no_byte(source, tmp_path):
    checked = compressed(source, tmp_path / "a.neuralvdb", 2, verify=True)
    assert checked == compressed(source, tmp_path / "b.neuralvdb", 2, verify=False)


@pytest.mark.parametrize("compression", ["blosc", "zip", "none"])
def test_decompressing_twice_gives_the_same_bytes(many_grids, tmp_path, compression):
    archive = tmp_path / "x.neuralvdb"
    compressed(many_grids, archive, 1)
    first, again, two = (
        decompressed(archive, tmp_path / f"{i}.vdb", n, compression=compression) for i, n in enumerate((1, 1, 2))
    )
    assert first == again
    assert first == two


def test_decompressing_samples_twice_gives_the_same_bytes(source, tmp_path):
    archive = tmp_path / "x.neuralvdb"
    compressed(source, archive, 2)
    assert decompressed(archive, tmp_path / "a.vdb", 1) == decompressed(archive, tmp_path / "b.vdb", 2)


def test_some_grids_decompressed_twice_give_the_same_bytes(many_grids, tmp_path):
    """A part of a file is a new file, with a uuid that depends on nothing but its content."""
    archive = tmp_path / "x.neuralvdb"
    compressed(many_grids, archive, 2)
    files = [decompressed(archive, tmp_path / f"{i}.vdb", 1, grids=("g1", "empty")) for i in range(2)]
    assert files[0] == files[1]


def test_the_command_writes_the_bytes_of_the_api(sample, tmp_path):
    archive = compressed(sample, tmp_path / "api.neuralvdb", 2)
    for threads in (1, 2):
        target = tmp_path / f"{threads}.neuralvdb"
        command = ["compress", "--lossless", sample, "-o", target, "--threads", threads]
        subprocess.run([sys.executable, "-P", "-m", "neuralvdb.cli.main", *map(str, command)], check=True)
        assert target.read_bytes() == archive


def test_an_archive_made_from_an_archive_s_vdb_decodes_to_the_same(sample, tmp_path):
    """Compressing what was decompressed gives grids with the same content."""
    compressed(sample, tmp_path / "a.neuralvdb", 2)
    decompressed(tmp_path / "a.neuralvdb", tmp_path / "a.vdb", 2)
    compressed(tmp_path / "a.vdb", tmp_path / "b.neuralvdb", 2)
    assert neuralvdb.diff(tmp_path / "a.neuralvdb", tmp_path / "b.neuralvdb").same
    assert decompressed(tmp_path / "b.neuralvdb", tmp_path / "b.vdb", 1) == (tmp_path / "a.vdb").read_bytes()


def test_shared_topologies_are_stored_once(many_grids, tmp_path):
    compressed(many_grids, tmp_path / "x.neuralvdb", 2)
    assert owners(tmp_path / "x.neuralvdb", "VALS") == list(range(8))
    assert owners(tmp_path / "x.neuralvdb", "TOPO") == [0, 6, 7]


def test_shared_topologies_of_a_real_file_are_stored_once(data, tmp_path):
    source = data / "sequence-blender-24grids" / "fluid_data_0005.vdb"
    first, two = (compressed(source, tmp_path / f"{n}.neuralvdb", n, verify=False) for n in (1, 2))
    assert first == two
    trees = len(owners(tmp_path / "1.neuralvdb", "VALS"))
    assert trees > 20
    assert len(owners(tmp_path / "1.neuralvdb", "TOPO")) < trees
