"""`nvdb info` gives the numbers that are known of a file, of the .vdb and of its archive alike."""

import re
import struct

import numpy as np
import pytest

from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb

SAMPLES = {  # file -> {grid: active voxels}, as in data/README.md
    "smoke.vdb": {"density": 62219, "temperature": 61597, "velocity": 92622},
    "cloud.vdb": {"density": 161353},
    "levelset.vdb": {"surface": 197972},
}


def active(result: dict) -> dict[str, int]:
    return {grid["name"]: grid["active_voxels"] for grid in result["grids"]}


@pytest.mark.parametrize("name", SAMPLES)
def test_active_voxels_of_the_samples(run, run_json, sample, name):
    source = sample.with_name(name)
    run("compress", source, "-o", "a.neuralvdb", "--lossless", "--no-verify")
    vdb, archive = run_json("info", source, "a.neuralvdb")["results"]
    assert active(vdb) == active(archive) == SAMPLES[name]
    assert (vdb["kind"], archive["kind"]) == ("vdb", "archive")
    assert vdb["size"] == archive["source_size"] == source.stat().st_size


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        ("openvdb-models/smoke.vdb", {"density": 1049275}),
        ("hosts/one_million_in_tiles.vdb", {"temperature": 1000000}),
        ("clouds/teapot_cloud.vdb", {"density": 1963736}),
    ],
)
def test_active_voxels_of_real_files(run, run_json, data, name, voxels):
    run("compress", data / name, "-o", "a.neuralvdb", "--lossless", "--no-verify")
    vdb, archive = run_json("info", data / name, "a.neuralvdb")["results"]
    assert list(active(vdb).values()) == list(active(archive).values()) == list(voxels.values())


def test_a_grid_is_the_same_in_both(run, run_json, sample, tmp_path):
    """One without voxels, too."""
    empty = np.zeros((8, 8, 8), np.float32)
    write_vdb(tmp_path / "a.vdb", [VdbReader(sample).read(0), from_dense(empty, name="flame", active=empty > 0)])
    run("compress", "a.vdb", "--lossless")
    before, after = run_json("info", "a.vdb", "a.neuralvdb")["results"]
    assert after["grids"][1]["active_voxels"] == 0
    for vdb, archive in zip(before["grids"], after["grids"], strict=True):
        for key in vdb.keys() - {"bytes", "active_bbox"}:
            assert vdb[key] == archive[key], key


def test_facts_of_the_smoke_sample(run_json, sample):
    velocity = run_json("info", sample)["results"][0]["grids"][2]
    assert velocity["type"] == "Tree_vec3s_5_4_3"
    assert velocity["half"] is True
    assert velocity["grid_class"] == "staggered"
    assert velocity["voxel_size"] == [0.0625] * 3
    assert velocity["metadata"]["vector_type"] == ["string", "contravariant relative"]
    assert velocity["active_tiles"] == 0


def test_bytes_add_up(run, run_json, sample):
    """What the grids take and what belongs to none is the file."""
    run("compress", sample, "-o", "a.neuralvdb", "--lossless")
    for result in run_json("info", sample, "a.neuralvdb")["results"]:
        assert sum(sum(grid["bytes"].values()) for grid in result["grids"]) + result["overhead"] == result["size"]
        assert 0 < result["overhead"] < 2000


def test_columns_line_up(run, run_json, sample):
    """The first column is left-aligned, all others end where their header ends."""
    lines = run("info", sample).stdout.splitlines()
    header, rows = lines[1], lines[2:5]
    titles = [
        "grid",
        "type",
        "class",
        "voxel size",
        "active voxels",
        "leaves",
        "tiles",
        "topology",
        "values",
        "total",
        "share",
    ]
    assert re.split(r"\s{2,}", header) == titles
    ends = [match.end() for match in re.finditer(r"\S+(?: \S+)*", header)]
    for line in rows:
        assert len(line) == len(header)
        for end in ends[1:]:
            assert line[end - 1] != " " and (end == len(line) or line[end : end + 2] == "  ")
    assert [line.split()[0] for line in rows] == ["density", "temperature", "velocity"]


def test_shares_add_up(run, sample):
    shares = [float(share) for share in re.findall(r"([\d.]+)%", run("info", sample).stdout)]
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_verbose_shows_metadata_and_transform(run, sample):
    quiet, verbose = run("info", sample).stdout, run("info", sample, "-v").stdout
    assert verbose.startswith(quiet)
    assert "velocity: vector_type = contravariant relative (string)" in verbose
    assert "density: voxel size: 0.0625" in verbose


def test_an_archive_says_how_much_smaller_it_is(run, sample, tmp_path):
    run("compress", sample, "-o", "a.neuralvdb", "--lossless")
    ratio = sample.stat().st_size / (tmp_path / "a.neuralvdb").stat().st_size
    assert f"3 grids, from 1.03 MB ({ratio:.2f}x)" in run("info", "a.neuralvdb").stdout


@pytest.mark.slow
def test_equal_grids_take_the_bytes_of_one(run, run_json, data):
    """A Blender cache of grey smoke holds its colour three times."""
    run("compress", data / "sequence-blender-24grids/fluid_data_0002.vdb", "-o", "a.neuralvdb", "--rel-error", "1%")
    (result,) = run_json("info", "a.neuralvdb")["results"]
    taken = {grid["name"]: sum(grid["bytes"].values()) for grid in result["grids"]}
    assert taken["color_r"] > 1000 and taken["color_g"] == taken["color_b"] == 0
    assert sum(taken.values()) + result["overhead"] == result["size"]


def test_a_voxel_size_that_is_no_number_is_text_in_json(run, run_json, tmp_path):
    """OpenVDB keeps the voxel size beside the scale, and nothing says that it is a number."""
    active = np.ones((8, 8, 8), bool)
    grid = from_dense(active.astype(np.float32), name="g", active=active, properties=GridProperties(voxel_size=0.625))
    write_vdb(tmp_path / "a.vdb", [grid])
    sizes = struct.pack("<3d", 0.625, 0.625, 0.625)
    before, _, after = (tmp_path / "a.vdb").read_bytes().partition(sizes * 2)
    strange = struct.pack("<3d", float("nan"), float("inf"), -float("inf"))
    (tmp_path / "a.vdb").write_bytes(before + sizes + strange + after)
    run("compress", "a.vdb", "-o", "a.neuralvdb", "--lossless")
    for result in run_json("info", "a.vdb", "a.neuralvdb")["results"]:
        assert result["grids"][0]["voxel_size"] == ["nan", "inf", "-inf"]
    assert "nan inf -inf" in run("info", "a.neuralvdb").stdout
