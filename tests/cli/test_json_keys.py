"""The keys of every command's --json, for programs that read them; those of `nvdb train` in test_priors.py."""

import pytest

GRID = {
    *("name", "type", "grid_class", "half", "instance_of", "voxel_size", "leaves", "active_voxels", "active_tiles"),
    *("active_bbox", "bytes", "metadata", "transform", "promise", "pruned"),
}
FILE = {"path", "kind", "size", "version", "metadata", "source_size", "overhead", "missing_priors", "grids"}
PROMISE = {"max_error", "ratio", "psnr", "lattice", "family", "priors", "refined", "fast"}
COMPRESS = {
    *("source", "target", "source_size", "archive_size", "grids", "left_out", "promises", "pruned", "device"),
    *("verified", "ratio", "seconds"),
}
DECOMPRESS = {"source", "target", "archive_size", "vdb_size", "grids", "parts", "notes", "device", "seconds"}
VERIFY = {"path", "original", "grids", "differences", "losses", "device"}
LOSS = {"promise", "kept", "max_error", "rmse", "psnr", "pruned"}
DIFF = {"first", "second", "same", "changes", "grids"}
GRID_DIFF = {"name", "same", "topology_equal", "active_voxels", "max_error", "rmse", "psnr", "changes"}


@pytest.fixture
def result(run_json):
    """The one result of a command."""

    def single(*args: object, code: int = 0) -> dict:
        report = run_json(*args, code=code)
        assert report["errors"] == []
        (only,) = report["results"]
        return only

    return single


def test_compress(result, small):
    report = result("compress", small, "-o", "x", "--rel-error", "1%", "--topology", "pruned")
    assert set(report) == COMPRESS
    assert report["grids"] == ["ball"]
    assert {name: set(promise) for name, promise in report["promises"].items()} == {"ball": PROMISE}


def test_decompress(result, archive):
    report = result("decompress", archive, "-o", "x.vdb", "--lod", "1")
    assert set(report) == DECOMPRESS
    assert {name: set(region) for name, region in report["parts"].items()} == {"ball": {"active_voxels", "voxel_size"}}


def test_info(result, small):
    result("compress", small, "-o", "x", "--rel-error", "1%")
    for path, kind in ((small, "vdb"), ("x", "archive")):
        report = result("info", path)
        assert (set(report), report["kind"]) == (FILE, kind)
        (grid,) = report["grids"]
        assert set(grid) == GRID
        assert set(grid["bytes"]) == {"topology", "values"}
    assert set(grid["promise"]) == PROMISE


def test_verify(result, archive, small):
    assert set(result("verify", archive)) == VERIFY
    assert result("verify", archive, small)["differences"] == []
    result("compress", small, "-o", "x", "--rel-error", "1%")
    (loss,) = result("verify", "x", small)["losses"].values()
    assert set(loss) == LOSS
    assert set(loss["promise"]) == PROMISE


def test_diff(result, archive, small):
    report = result("diff", archive, small)
    assert set(report) == DIFF
    (grid,) = report["grids"]
    assert set(grid) == GRID_DIFF


def test_errors(run_json):
    (error,) = run_json("info", "absent", code=3)["errors"]
    assert set(error) == {"path", "message", "exit_code"}
