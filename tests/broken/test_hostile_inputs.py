"""Inputs that once broke `nvdb`: a documented exit code, one line, little time and memory, and nothing left."""

import json
import os
from pathlib import Path

import pytest

import neuralvdb
from neuralvdb import CompressSettings

# file, command, exit codes that are right
CASES = [
    ("01-table-of-1M-grids.neuralvdb", ("info",), {4}),
    ("01-table-of-1M-grids.neuralvdb", ("decompress", "-o", "x.vdb"), {4}),
    ("01-table-of-1M-grids.neuralvdb", ("verify",), {4}),
    ("02-million-sections.neuralvdb", ("info",), {4}),
    ("02-million-sections.neuralvdb", ("verify",), {4}),
    ("03-instances-quadratic.neuralvdb", ("info",), {0, 4}),
    ("03-instances-quadratic.neuralvdb", ("decompress", "-o", "x.vdb"), {0, 4}),
    ("03-instances-quadratic.neuralvdb", ("decompress", "--lod", "1", "-o", "x.vdb"), {0, 4}),
    ("03-instances-quadratic.neuralvdb", ("decompress", "--topology-only", "-o", "x.vdb"), {0, 4}),
    ("04-exception-places-wrap.neuralvdb", ("decompress", "-o", "x.vdb"), {4, 5}),
    ("04-exception-places-wrap.neuralvdb", ("decompress", "--lod", "1", "-o", "x.vdb"), {4, 5}),
    ("04-exception-places-wrap.neuralvdb", ("verify",), {4, 5}),
    ("05-topology-only-bomb.neuralvdb", ("decompress", "--topology-only", "-o", "x.vdb"), {4, 9}),
    ("06-nan-voxel-size.vdb", ("info", "--json"), {0}),
    ("06-nan-voxel-size.neuralvdb", ("info", "--json"), {0}),
    ("07-escape-sequences.neuralvdb", ("info",), {0}),
    ("07-escape-sequences.neuralvdb", ("info", "-v"), {0}),
    ("09-valid-tiles-15.neuralvdb", ("decompress", "--lod", "1", "-o", "x.vdb"), {0}),
    ("10-instance-of-nothing.vdb", ("compress", "-o", "x.neuralvdb"), {4}),
    ("11-metadata-200MB.neuralvdb", ("info",), {4}),
    ("11-metadata-200MB.neuralvdb", ("decompress", "-o", "x.vdb"), {4}),
]


@pytest.mark.parametrize(
    ("name", "command", "codes"), CASES, ids=[f"{name} {' '.join(command)}" for name, command, _ in CASES]
)
def test_a_hostile_input_ends_as_documented(hostile, measured, tmp_path, name, command, codes):
    done = measured(command[0], hostile(name), *command[1:])
    assert done.code in codes, done.stderr
    assert done.stderr.count("\n") == (done.code != 0)
    assert os.listdir(tmp_path) == ([command[-1]] if done.code == 0 and "-o" in command else [])
    assert "\x1b" not in done.stdout + done.stderr
    assert "\nnvdb: all is well" not in done.stdout
    if "--json" in command:
        json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted({name for name, command, _ in CASES if command[0] in ("decompress", "verify")}))
def test_others_of_its_batch_are_done(nvdb, hostile, small_archive, tmp_path, name):
    """Three files, the hostile one in the middle."""
    for number, path in enumerate((small_archive, hostile(name), small_archive)):
        (tmp_path / f"f.{number}.neuralvdb").write_bytes(path.read_bytes())
    (tmp_path / "out").mkdir()
    done = nvdb("decompress", *(f"f.{number}.neuralvdb" for number in range(3)), "-o", "out/", "--json")
    report = json.loads(done.stdout)
    targets = [result["target"] for result in report["results"]]
    assert {"out/f.0.vdb", "out/f.2.vdb"} <= set(targets)
    assert len(report["results"]) + len(report["errors"]) == 3
    assert sorted(os.listdir(tmp_path / "out")) == sorted(target.removeprefix("out/") for target in targets)


def test_files_of_tiles_are_compared_as_tiles(hostile, measured):
    done = measured("diff", hostile("09-valid-tiles.vdb"), hostile("09-valid-tiles-one-less.vdb"))
    assert done.code == 10


@pytest.fixture(scope="module")
def small_archive(sample, tmp_path_factory) -> Path:
    """The archive of the cloud sample."""
    path = tmp_path_factory.mktemp("small") / "cloud.neuralvdb"
    neuralvdb.compress(sample.with_name("cloud.vdb"), path, CompressSettings(quality="lossless"))
    return path
