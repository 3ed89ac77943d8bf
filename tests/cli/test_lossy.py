"""Lossy compression from the command line: what is promised is kept, and said."""

import re

import pytest

import neuralvdb


@pytest.mark.parametrize(
    "options",
    [
        ["--rel-error", "1%"],
        ["--max-error", "density=0.01,velocity=2%"],
        ["--tolerance", "0.1%,10%"],
        ["--quality", "production"],
        ["--psnr", "50,velocity=40"],
        ["--quality", "preview", "--max-error", "velocity=2%"],
        ["--tolerance", "density=0.1%,10%", "--rel-error", "velocity=1%,temperature=2%"],
    ],
)
def test_a_promise_is_kept_and_said(run, sample, tmp_path, options):
    said = run("compress", sample, "-o", "a.neuralvdb", *options, "-v").stdout
    assert "  LOSSY" in said.splitlines()[0] and said.splitlines()[0].count("; verified") == 1
    for text in (said, run("info", "a.neuralvdb", "-v").stdout):
        assert "lattice" in text
        assert "max error" in text or "PSNR" in text
    verified = run("verify", "a.neuralvdb", sample).stdout
    assert "as much as promised" in verified
    assert verified.count(": kept") == said.count("lattice")
    run("decompress", "a.neuralvdb")
    assert (tmp_path / "a.neuralvdb").stat().st_size < 0.5 * sample.stat().st_size


def test_the_error_of_the_decoded_file_is_within_the_bound(run, run_json, sample, tmp_path):
    (report,) = run_json("compress", sample, "-o", "a.neuralvdb", "--rel-error", "0.01")["results"]
    run("decompress", "a.neuralvdb")
    report_of_diff = neuralvdb.diff(sample, tmp_path / "a.vdb")
    for grid in report_of_diff.grids:
        promise = report["promises"][grid.name]
        bound = promise["max_error"]
        assert grid.topology_equal
        assert promise["ratio"] == 0
        assert promise["lattice"] == "sample"
        assert bound / 2 < grid.max_error <= bound


def test_level_sets_are_bounded_in_voxels(run_json, run, tmp_path, sample):
    source = sample.with_name("levelset.vdb")
    (report,) = run_json("compress", source, "-o", "a.neuralvdb", "--max-error", "0.1")["results"]
    (size,) = {edge for grid in neuralvdb.info(source).grids for edge in grid.voxel_size}
    promise = report["promises"]["surface"]
    assert promise["max_error"] == pytest.approx(0.1 * size)
    assert (promise["family"], promise["ratio"]) == ("levelset", 0)


def test_grids_without_a_bound_are_of_the_quality(run, run_json, sample):
    bound = ("--lossless", "--max-error", "density=0.01")
    (report,) = run_json("compress", sample, "-o", "a.neuralvdb", *bound)["results"]
    assert list(report["promises"]) == ["density"]
    assert "not allowed with" in run("compress", sample, "--lossless", "--quality", "master", code=2).stderr


@pytest.mark.parametrize("bound", ["0", "-1", "x", "density=", "nan", "inf", "1%%", ""])
def test_2_bounds_that_make_no_sense(run, sample, bound):
    assert "error bound" in run("compress", sample, f"--max-error={bound}", code=2).stderr


@pytest.mark.parametrize("tolerance", ["0.1", "0.1,2", "0.1,0", ",", "a,b"])
def test_2_tolerances_that_make_no_sense(run, sample, tolerance):
    assert run("compress", sample, f"--tolerance={tolerance}", code=2).stderr


@pytest.mark.parametrize("option", ["--max-error", "--rel-error", "--psnr"])
def test_11_a_bound_for_a_grid_that_is_not_there(run, sample, tmp_path, option):
    """Else a misspelt name would leave the grid to the quality, and nobody would know."""
    value = 40 if option == "--psnr" else 0.01
    message = run("compress", sample, "-o", "a.neuralvdb", option, f"{value},Densty={value}", code=11).stderr
    assert "has no grid 'Densty', perhaps 'density' is meant; it has: density, temperature, velocity" in message
    assert "perhaps" not in run("compress", sample, "-o", "a.neuralvdb", option, f"fuel={value}", code=11).stderr
    assert not (tmp_path / "a.neuralvdb").exists()


def test_a_bound_may_name_a_grid_that_is_left_out(run, sample):
    run("compress", sample, "-o", "a.neuralvdb", "--grids", "density", "--max-error", "velocity=0.1")


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--rel-error", "1"], "did you mean 1%?"),
        (["--rel-error", "100%"], "did you mean 1%?"),
        (["--rel-error", "density=5"], "did you mean 5%?"),
        (["--tolerance", "100%,5%"], "leaves nothing"),
        (["--psnr", "3"], "30 dB is coarse"),
    ],
)
def test_2_bounds_that_leave_nothing(run, sample, options, hint):
    assert hint in run("compress", sample, *options, code=2).stderr


def test_a_grid_stays_lossless_whose_values_differ_by_less_than_the_bound(run_json, sample):
    (report,) = run_json("compress", sample, "-o", "a.neuralvdb", "--max-error", "1e30")["results"]
    assert report["promises"] == {}


def test_a_name_may_hold_a_comma(run, run_json, tmp_path, small):
    from dataclasses import replace

    from neuralvdb.vdb import VdbReader, write_vdb

    grid = VdbReader(small).read(0)
    write_vdb(tmp_path / "in.vdb", [replace(grid, unique_name=name) for name in (b"a,b", b"c")])
    (report,) = run_json("compress", "in.vdb", "--lossless", "--max-error", "a\\,b=0.1", "--grids", "a\\,b")["results"]
    assert (report["grids"], list(report["promises"]), report["left_out"]) == (["a,b"], ["a,b"], ["c"])


@pytest.mark.slow
def test_loss_comes_first(run, run_json, sample):
    """The worst of the fog, then the bounds of other grids; info and verify say the same."""
    said = run("compress", sample, "-o", "a.neuralvdb").stdout
    (report,) = run_json("info", "a.neuralvdb")["results"]
    measured = [grid["promise"]["measured"] for grid in report["grids"]]
    assert [loss and loss["promised_picture"] for loss in measured] == [44, 0, None]
    bound = report["grids"][2]["promise"]["max_error"]
    numbers = r"picture (\d+\.\d) dB, means within (\S+) %, voxels within (\S+) %"
    picture, means, voxels = map(float, re.search(rf"  LOSSY production \S+x: {numbers}; ", said).groups())
    assert 44 <= picture <= measured[0]["picture"] < picture + 0.1
    assert means / 1.11 < 100 * max(loss["mean_error"] for loss in measured[:2]) <= means
    assert voxels / 1.11 < 100 * max(loss["voxel_error"] for loss in measured[:2]) <= voxels
    assert f"; velocity within {bound:.4g}; verified  " in said
    shown = run("info", "a.neuralvdb").stdout
    assert f"LOSSY: picture {picture:.1f} dB, " in shown and "lattice" not in shown + said
    lines = run("verify", "a.neuralvdb", sample).stdout.splitlines()
    assert f"density: picture {picture:.1f} dB, means within " in lines[1]
    assert "; promised: picture 44 dB: kept" in lines[1]
