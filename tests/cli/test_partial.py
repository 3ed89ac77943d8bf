"""`nvdb decompress --bbox` and `--lod`: arguments, exit codes, what is said."""

import pytest

from neuralvdb.vdb import VdbReader


@pytest.mark.parametrize("join", ["=", " "])
def test_a_box_may_begin_with_a_minus(run, archive, tmp_path, join):
    options = f"--bbox{join}-3,-3,-3,7,7,7".split()
    done = run("decompress", archive, "-o", "a.vdb", *options)
    summary, grid = done.stdout.splitlines()
    assert "-> a.vdb" in summary
    assert grid.startswith("ball: ")
    assert grid.endswith(" active voxels, voxel size 1")
    assert done.stderr == ""
    assert VdbReader(tmp_path / "a.vdb").outline(0).active_bbox[1] == (7, 7, 7)


def test_a_part_is_in_the_json(run_json, archive):
    (result,) = run_json("decompress", archive, "-o", "a.vdb", "--lod", "2", "--bbox", "0,0,0,15,15,15")["results"]
    region = result["parts"]["ball"]
    assert region["voxel_size"] == [4.0, 4.0, 4.0]
    assert 0 < region["active_voxels"] <= 64
    assert result["notes"] == []


def test_a_box_that_meets_nothing_is_no_error(run, archive):
    assert "ball: 0 active voxels" in run("decompress", archive, "-o", "a.vdb", "--bbox", "50,50,50,60,60,60").stdout


@pytest.mark.parametrize(
    "box", ["1,2,3", "1,2,3,4,5,x", "5,0,0,4,9,9", "0,0,0,1,1,2147483648", "-2147483649,0,0,1,1,1", "", "1.5,0,0,2,2,2"]
)
def test_2_no_box(run, archive, tmp_path, box):
    done = run("decompress", archive, "-o", "a.vdb", f"--bbox={box}", code=2)
    assert "is no box such as" in done.stderr
    assert not (tmp_path / "a.vdb").exists()


@pytest.mark.parametrize("lod", ["0", "4", "-1", "x", "1.5"])
def test_2_no_level_of_detail(run, archive, lod):
    assert "--lod" in run("decompress", archive, f"--lod={lod}", code=2).stderr


@pytest.mark.parametrize("option", ["--bbox", "--lod"])
def test_2_an_option_without_its_value(run, archive, option):
    assert option in run("decompress", archive, option, code=2).stderr


def test_11_no_such_grid_in_a_part(run, archive):
    run("decompress", archive, "--grids", "smoke", "--lod", "1", "-o", "x.vdb", code=11)


def test_5_nothing_has_levels_of_detail(run, data, tmp_path):
    run("compress", data / "openvdb-models" / "sphere_points.vdb", "-o", "a.neuralvdb", "--lossless")
    done = run("decompress", "a.neuralvdb", "--lod", "1", code=5)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.vdb").exists()


def test_notes_are_for_people(run, data):
    run("compress", data / "openvdb-models" / "sphere_points.vdb", "-o", "a.neuralvdb", "--lossless")
    options = ("decompress", "a.neuralvdb", "-o", "a.vdb", "--force", "--bbox", "0,0,0,9,9,9")
    assert run(*options).stderr.startswith("nvdb: a.neuralvdb: grid 'points' ")
    assert run(*options, "-q").stderr == ""
