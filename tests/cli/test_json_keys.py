"""neuralvdb/cli/JSON.md has the keys of every object that commands print, and their types; no more and no less.

The objects of `nvdb train` are compared in test_priors.py.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

import neuralvdb
from neuralvdb.cli.main import COMMANDS


@pytest.fixture
def result(run_json, check_json):
    """The one result of a command."""

    def single(*args: object, code: int = 0) -> dict:
        report = check_json(run_json(*args, "-q", code=code), "The object of --json")
        assert (report["schema"], report["command"], report["errors"]) == (1, args[0], [])
        check_json(report["total"], "total")
        (only,) = report["results"]
        return check_json(only, str(args[0]))

    return single


@pytest.fixture(scope="module")
def lossy(small, tmp_path_factory) -> Path:
    """An archive of `small` within an error."""
    path = tmp_path_factory.mktemp("lossy") / "x.neuralvdb"
    bound = neuralvdb.settings.Bound(value=0.01, relative=True)
    neuralvdb.compress(small, path, neuralvdb.CompressSettings(bounds=(bound,)))
    return path


def test_compress(result, small, check_json):
    report = result("compress", small, "-o", "x", "--rel-error", "1%", "--topology", "pruned")
    assert report["grids"] == ["ball"]
    check_json(report["promises"]["ball"], "promise")


def test_a_trial(run_json, small, check_json):
    (report,) = run_json("compress", "--try", small, "--effort", "0")["results"]
    for tried in check_json(report, "compress --try")["trials"]:
        check_json(check_json(tried, "quality")["losses"][0], "grid of a trial")


def test_decompress(result, archive, check_json):
    report = result("decompress", archive, "-o", "x.vdb", "--lod", "1")
    check_json(report["parts"]["ball"], "part")


def test_cache(run_json, archive, check_json):
    (report,) = run_json("cache", archive, "x", "-q")["results"]
    check_json(report, "decompress")


def test_mount_and_unmount(result, archive, tmp_path):
    pytest.importorskip("mfusepy", reason="mfusepy is not installed; see the extra [mount] in pyproject.toml")
    if not os.access("/dev/fuse", os.W_OK) or shutil.which("fusermount3") is None:
        pytest.skip("nothing can be mounted: no /dev/fuse, or no fusermount3 (apt-get install fuse3)")
    mounted = result("mount", archive, "x", "--cache", "cache")
    assert result("unmount", "x", "--cache", "cache") == {key: mounted[key] for key in ("source", "target")}


def test_info(result, small, lossy, check_json):
    for path, kind in ((small, "vdb"), (lossy, "archive")):
        report = result("info", path)
        assert report["kind"] == kind
        (grid,) = report["grids"]
        check_json(grid, "grid of info")
        assert set(grid["bytes"]) == {"topology", "values"}
    check_json(grid["promise"], "promise")


def test_verify(result, lossy, small, check_json):
    report = result("verify", lossy, small)
    check_json(check_json(report["losses"]["ball"], "loss")["promise"], "promise")
    assert report["differences"] == []


def test_diff(result, archive, small, check_json):
    (grid,) = result("diff", archive, small)["grids"]
    check_json(grid, "grid of diff")


def test_view(result, small, check_json):
    pytest.importorskip("PIL")
    (grid,) = result("view", small)["grids"]
    check_json(grid, "grid of view")


def test_report(result, archive, small, check_json):
    pytest.importorskip("PIL")
    (frame,) = result("report", archive, "--originals", small.parent, "-o", "x.html")["frames"]
    check_json(check_json(frame, "frame of a report")["losses"][0], "grid of a trial")


def test_errors(run_json, check_json):
    report = run_json("info", "absent", code=3)
    (error,) = report["errors"]
    assert check_json(error, "error")["exit_code"] == 3
    assert (report["total"]["files"], report["total"]["failed"]) == (1, 1)


def test_lines(run, frames, check_json):
    """One object for each input as it is done, and one at the end; progress on stderr."""
    (frames / "smoke.0002.vdb").write_bytes(b"no vdb")
    done = run("info", "smoke.####.vdb", "--json-lines", "--progress", "json", code=4)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(line.pop("schema"), line.pop("command")) for line in lines} == {(1, "info")}
    assert [sorted(line) for line in lines[-1:]] == [["total"]]
    assert sorted(key for line in lines[:-1] for key in line) == ["error", "result", "result", "result"]
    total = check_json(lines[-1]["total"], "total")
    assert (total["files"], total["done"], total["failed"], total["stopped"]) == (4, 3, 1, False)
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {line.pop("schema") for line in told} == {1}
    assert check_json(told[-1]["progress"], "progress")["percent"] == 100


def test_every_command_and_every_table_is_there():
    page = (Path(__file__).resolve().parents[2] / "neuralvdb/cli/JSON.md").read_text()

    assert {name for name in COMMANDS if f"\n## {name}\n" not in page} == set()
    assert [link for link in re.findall(r"\]\(#(.+?)\)", page) if f"\n## {link.replace('-', ' ')}\n" not in page] == []
