"""--skip-existing: what is done is left as it is, all else is done again; a run that was killed ends as any other."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.codec.frame import FrameReader
from neuralvdb.vdb import from_dense, hash_file, write_vdb


@pytest.fixture
def skipped(run_json):
    """Runs `nvdb compress . -o out/ --skip-existing`; gives the numbers of the frames that were skipped."""

    def run(*options: str) -> list[int]:
        report = run_json("compress", ".", "-o", "out/", "--skip-existing", *options)
        total = report["total"]
        assert total["skipped"] + total["done"] == len(report["results"]) == total["files"]
        return [int(result["target"][10:14]) for result in report["results"] if result["skipped"]]

    return run


def test_only_what_is_done_is_skipped(skipped, frames):
    """Whole, of the same bytes, with the same settings; threads, jobs and names of presets are none of them."""
    out = frames / "out"
    assert skipped("--quality", "lossless") == []
    before = {name: (out / name).read_bytes() for name in os.listdir(out)}
    for name in ("smoke.0002.neuralvdb", "smoke.0003.neuralvdb"):
        (out / name).write_bytes(before[name][:-7] + b"damaged")
    write_vdb(frames / "smoke.0005.vdb", [from_dense(np.ones((3, 3, 3), np.float32), name="other")])
    assert skipped("--lossless", "--threads", "1", "--jobs", "2") == [1]
    assert {name: (out / name).read_bytes() == before[name] for name in sorted(before)} == {
        **{f"smoke.{number:04d}.neuralvdb": True for number in (1, 2, 3)},
        "smoke.0005.neuralvdb": False,
    }
    os.utime(frames / "smoke.0001.vdb")
    assert skipped("--lossless") == [1, 2, 3, 5]


@pytest.mark.parametrize("options", [("--rel-error", "1%"), ("--quality", "preview")])
def test_other_settings_are_other_archives(skipped, frames, options):
    for number in (2, 3, 5):
        (frames / f"smoke.{number:04d}.vdb").unlink()
    assert skipped("--lossless") == []
    assert skipped(*options) == []
    assert skipped(*options) == [1]


def test_the_table_has_the_hash_of_the_file_that_was_read(small, tmp_path):
    """And none where the file changed meanwhile, or there is none."""
    source = Path(shutil.copy(small, tmp_path / "a.vdb"))
    neuralvdb.compress(source, tmp_path / "a", quality="lossless")
    neuralvdb.compress(source, tmp_path / "b", quality="lossless", progress=lambda _: source.write_bytes(b"changed"))
    neuralvdb.compress([from_dense(np.ones((3, 3, 3), np.float32), name="x")], tmp_path / "c", quality="lossless")
    hashes = []
    for name in "abc":
        with FrameReader(tmp_path / name) as frame:
            hashes.append(frame.table.source_hash)
    assert hashes == [hash_file(os.fspath(small)), b"", b""]


def test_decompress_skips_what_is_newer_and_has_the_uuid(run, run_json, small, archive, tmp_path):
    """It replaces no other file without --force: that could be the original."""
    shutil.copy(archive, tmp_path / "a.neuralvdb")
    again = ("decompress", "a.neuralvdb", "--skip-existing")
    assert [result["skipped"] for result in run_json(*again)["results"]] == [False]
    made = (tmp_path / "a.vdb").stat()
    (result,) = run_json(*again)["results"]
    assert (result["skipped"], result["vdb_size"]) == (True, made.st_size)
    assert (tmp_path / "a.vdb").stat().st_mtime_ns == made.st_mtime_ns
    assert "is not what would be written" in run(*again, "--lod", "1", code=6).stderr
    os.utime(tmp_path / "a.neuralvdb", (made.st_mtime + 9, made.st_mtime + 9))
    assert "is not what would be written" in run(*again, code=6).stderr
    assert "skipped" not in run(*again, "--force").stdout
    assert sorted(os.listdir(tmp_path)) == ["a.neuralvdb", "a.vdb"]


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_any_other(nvdb_command, tmp_path):
    """No frame that is done is coded again."""
    noise = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(40):
        values = noise.normal(size=(32, 32, 32)).astype(np.float32)
        write_vdb(tmp_path / "in" / f"s.{number:04d}.vdb", [from_dense(values, name="density")])
    command = [*nvdb_command, "compress", "in/s.####.vdb", "--lossless", "--no-verify", "--jobs", "2"]
    command += ["--skip-existing"]
    subprocess.run([*command, "-o", "whole/", "-q"], cwd=tmp_path, check=True)
    moments, made, kills = random.Random(0), dict[str, tuple[int, int]](), 0
    while len(made) < 40:
        process = subprocess.Popen([*command, "-o", "out/", "-q"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        before, limit = len(made), time.monotonic() + 60
        while process.poll() is None and len(made) < before + 1 and time.monotonic() < limit:
            made = made | done(tmp_path / "out", made)
            time.sleep(0.01)
        time.sleep(moments.random() * 0.03)
        process.send_signal(moments.choice([signal.SIGKILL, signal.SIGTERM]))
        process.wait()
        kills += 1
        made = made | done(tmp_path / "out", made)
    assert kills >= 10
    report = subprocess.run([*command, "-o", "out/", "--json"], cwd=tmp_path, check=True, capture_output=True).stdout
    assert json.loads(report)["total"]["skipped"] == 40
    assert len(done(tmp_path / "out", made)) == 40
    for name in made:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def done(folder: Path, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The archives in a folder; asserts that those seen before are the very same files."""
    paths = list(folder.glob("*.neuralvdb"))
    states = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
    assert [name for name in before if states[name] != before[name]] == []
    return states
