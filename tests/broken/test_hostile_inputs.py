"""Inputs that once broke `nvdb`: a documented exit code, one line, little time and memory, and nothing left."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS, BYTES = 5.0, 1 << 30  # of CPU time and memory
MAIN = [sys.executable, "-P", "-c", "import sys; from neuralvdb.cli import main; sys.exit(main())"]
MEASURED = """
import json, os, resource, sys
from neuralvdb.cli import main
code = main(sys.argv[1:])
usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
with open("usage.json", "w") as file:
    json.dump([seconds, max(usage.ru_maxrss for usage in usages) << 10], file)
sys.exit(code)
"""
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


@dataclass(frozen=True)
class Measured:
    """A command that has ended. seconds: of CPU time; memory: bytes; files: what it left."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int
    files: list[str]


@pytest.fixture
def hostile(data: Path) -> Path:
    """The folder of hostile inputs."""
    return data / "hostile"


def measured(folder: Path, *argv: object) -> Measured:
    """What became of `nvdb` with these arguments in an empty folder."""
    command = [sys.executable, "-P", "-c", MEASURED, *map(str, argv)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    seconds, memory = json.loads((folder / "usage.json").read_text())
    os.unlink(folder / "usage.json")
    return Measured(done.returncode, done.stdout, done.stderr, seconds, memory, os.listdir(folder))


@pytest.mark.parametrize(
    ("name", "command", "codes"), CASES, ids=[f"{name} {' '.join(command)}" for name, command, _ in CASES]
)
def test_a_hostile_input_ends_as_documented(hostile, tmp_path, name, command, codes):
    done = measured(tmp_path, command[0], hostile / name, *command[1:])
    assert done.code in codes, done.stderr
    assert done.stderr.count("\n") == (done.code != 0)
    assert done.files == ([command[-1]] if done.code == 0 and "-o" in command else [])
    assert done.seconds < SECONDS
    assert done.memory < BYTES
    assert "\x1b" not in done.stdout + done.stderr
    assert "\nnvdb: all is well" not in done.stdout
    if "--json" in command:
        json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted({name for name, command, _ in CASES if command[0] in ("decompress", "verify")}))
def test_others_of_its_batch_are_done(hostile, small_archive, tmp_path, name):
    """Three files, the hostile one in the middle."""
    for number, path in enumerate((small_archive, hostile / name, small_archive)):
        (tmp_path / f"f.{number}.neuralvdb").write_bytes(path.read_bytes())
    command = [*MAIN, "decompress", *(f"f.{number}.neuralvdb" for number in range(3)), "-o", "out/", "--json"]
    (tmp_path / "out").mkdir()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    targets = [result["target"] for result in report["results"]]
    assert {"out/f.0.vdb", "out/f.2.vdb"} <= set(targets)
    assert len(report["results"]) + len(report["errors"]) == 3
    assert sorted(os.listdir(tmp_path / "out")) == sorted(target.removeprefix("out/") for target in targets)


def test_files_of_tiles_are_compared_as_tiles(hostile, tmp_path):
    done = measured(tmp_path, "diff", hostile / "09-valid-tiles.vdb", hostile / "09-valid-tiles-one-less.vdb")
    assert done.code == 10
    assert done.seconds < SECONDS
    assert done.memory < BYTES


@pytest.fixture
def small_archive(sample, tmp_path_factory) -> Path:
    """The archive of the smoke sample."""
    path = tmp_path_factory.mktemp("small") / "smoke.neuralvdb"
    subprocess.run([*MAIN, "compress", sample, "-o", path, "--lossless"], check=True, capture_output=True)
    return path
