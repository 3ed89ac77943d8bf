"""Every command does what it says, in words, as JSON, quietly and at length."""

import numpy as np
import pytest

import neuralvdb
from neuralvdb.vdb import from_dense, write_vdb

COMMANDS = ("compress", "decompress", "info", "verify", "diff", "train")


@pytest.fixture(scope="session")
def haze(tmp_path_factory):
    """A .vdb file with just enough voxels to train on."""
    path = tmp_path_factory.mktemp("haze") / "haze.vdb"
    x, y, z = np.indices((14, 14, 14)) / 14
    values = np.stack([x * y, np.sin(9 * z), y], -1).astype(np.float32)  # vectors: networks of one lattice
    write_vdb(path, [from_dense(values, name="haze", active=np.ones(x.shape, bool))])
    return path


@pytest.fixture
def commands(small, archive, haze):
    """Arguments of a run that ends well, by command."""
    return {
        "compress": ("compress", small, "-o", "new.neuralvdb", "--lossless"),
        "decompress": ("decompress", archive, "-o", "new.vdb"),
        "info": ("info", small),
        "verify": ("verify", archive, small),
        "diff": ("diff", small, archive),
        "train": ("train", haze, "-o", "my.priors", "--steps", "1"),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_quiet_prints_nothing(run, commands, command):
    done = run(*commands[command], "-q")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_text_is_on_stdout_and_stderr_is_silent(run, commands, command):
    ways = [(), ("-v", "--force") if command.endswith("compress") else ("-v",)]
    for verbosity in ways[: 1 if command == "train" else 2]:
        done = run(*commands[command], *verbosity)
        assert done.stdout
        assert [line for line in done.stderr.splitlines() if "predictions are computed" not in line] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_quiet_does_not_silence_errors(run, command):
    done = run(command, "absent", *{"diff": ["b"], "train": ["-o", "b"]}.get(command, []), "-q", code=3)
    assert done.stdout == ""
    assert done.stderr.startswith("nvdb: absent: cannot be read")


def test_quiet_and_verbose_exclude_each_other(run, small):
    assert "not allowed with" in run("info", small, "-q", "-v", code=2).stderr


def test_compress_and_decompress_beside_the_input(run, smoke):
    """The round trip of the README: names from the input, sizes and the ratio in one line."""
    line = run("compress", smoke, "--lossless").stdout
    archive = smoke.with_suffix(".neuralvdb")
    ratio = smoke.stat().st_size / archive.stat().st_size
    assert f"{smoke} -> {archive}" in line
    assert f"{ratio:.2f}x" in line
    assert f"  lossless {ratio:.2f}x, verified  " in line and "  3 grids  " in line
    smoke.rename(smoke.with_name("first.vdb"))
    assert f"{archive} -> {smoke}" in run("decompress", archive).stdout
    assert neuralvdb.diff(smoke.with_name("first.vdb"), smoke).same


def test_compress_without_verification_says_so(run, small):
    assert "x, not verified" in run("compress", small, "-o", "a", "--no-verify", "--lossless").stdout


def test_the_default_quality_is_production(run, small, tmp_path):
    for name, options in (("a", []), ("b", ["--quality", "production"]), ("c", ["--quality", "lossless"])):
        run("compress", small, "-o", name, *options)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_only_the_grids_named_are_compressed(run, run_json, sample):
    done = run("compress", sample, "-o", "a.neuralvdb", "--lossless", "--grids", "velocity,density")
    assert done.stderr == f"nvdb: {sample}: left out as asked: temperature\n"
    (result,) = run_json("info", "a.neuralvdb")["results"]
    assert [grid["name"] for grid in result["grids"]] == ["density", "velocity"]
    (result,) = run_json("compress", sample, "-o", "b.neuralvdb", "--lossless", "--grids", "velocity")["results"]
    assert (result["grids"], result["left_out"]) == (["velocity"], ["density", "temperature"])


@pytest.mark.slow
def test_only_the_grids_named_are_decompressed_and_compared(run, run_json, sample):
    run("compress", sample, "-o", "a.neuralvdb", "--lossless")
    run("decompress", "a.neuralvdb", "-o", "b.vdb", "--grids", "temperature")
    (result,) = run_json("info", "b.vdb")["results"]
    assert [grid["name"] for grid in result["grids"]] == ["temperature"]
    assert run_json("diff", sample, "b.vdb", "--grids", "temperature")["results"][0]["same"]
    assert not run_json("diff", sample, "b.vdb", code=10)["results"][0]["same"]


def test_grids_of_one_name_are_told_apart(run, run_json, data):
    source = data / "hosts" / "arnold_three_grids_one_name.vdb"
    (result,) = run_json("compress", source, "-o", "a.neuralvdb", "--lossless", "--grids", "density[1]")["results"]
    assert result["grids"] == ["density[1]"]
    (result,) = run_json("compress", source, "-o", "b.neuralvdb", "--lossless", "--grids", "density")["results"]
    assert result["grids"] == ["density[0]", "density[1]", "density[2]"]


@pytest.mark.parametrize("compression", ["blosc", "zip", "none"])
def test_decompress_compresses_inside_the_vdb(run_json, archive, small, compression):
    (result,) = run_json("decompress", archive, "-o", "a.vdb", "--compression", compression)["results"]
    assert result["vdb_size"] > 0
    assert run_json("diff", small, "a.vdb")["results"][0]["same"]


@pytest.mark.slow
def test_no_compression_is_larger(run_json, sample):
    run_json("compress", sample, "-o", "a.neuralvdb", "--lossless")
    sizes = [
        run_json("decompress", "a.neuralvdb", "-o", f"{compression}.vdb", "--compression", compression)["results"][0][
            "vdb_size"
        ]
        for compression in ("blosc", "none")
    ]
    assert sizes[0] < sizes[1]


def test_verify_alone_and_against_the_original(run, archive, small):
    assert (
        run("verify", archive, "--device", "cpu").stdout == f"{archive}: all 1 grids decode on cpu to what was stored\n"
    )
    assert run("verify", archive, small).stdout.endswith(f"what was stored, the same as {small}\n")


def test_verify_of_a_lossy_archive_says_how_much_differs(run, run_json, small):
    run("compress", small, "-o", "x", "--max-error", "0.06")
    text = run("verify", "x", small).stdout
    assert "the same" not in text
    assert text.splitlines()[0].endswith(f"what was stored; LOSSY against {small}, as much as promised")
    assert text.splitlines()[1].startswith("ball: means within ")
    assert ", max error 0.0" in text.splitlines()[1]
    assert text.splitlines()[1].endswith("; promised: max error 0.06: kept")
    loss = run_json("verify", "x", small)["results"][0]["losses"]["ball"]
    assert 0 < loss["rmse"] < loss["max_error"] <= loss["promise"]["max_error"] == 0.06
    assert loss["kept"] is True


def test_verify_says_where_a_promise_is_broken(run, run_json, small, tmp_path):
    from neuralvdb.vdb import VdbReader, write_vdb

    run("compress", small, "-o", "x", "--max-error", "0.06")
    grid = VdbReader(small).read(0)
    grid.tree.leaf.values += 1
    write_vdb(tmp_path / "other.vdb", [grid])
    assert "promised: max error 0.06: BROKEN" in run("verify", "x", "other.vdb", code=10).stdout
    assert run_json("verify", "x", "other.vdb", code=10)["results"][0]["losses"]["ball"]["kept"] is False


def test_verify_against_another_file_says_what_differs(run, run_json, archive, sample):
    done = run("verify", archive, sample, code=10)
    assert done.stdout.splitlines() == [
        *(f"{archive}: grid '{name}' is not in the archive" for name in ("density", "temperature", "velocity")),
        f"{archive}: grid 'ball' is not in the original",
    ]
    assert done.stderr == ""
    assert len(run_json("verify", archive, sample, code=10)["results"][0]["differences"]) == 4


def test_verify_names_the_part_that_differs(run, small, archive, tmp_path):
    """One active value of the original is another: its content differs and nothing else."""
    from neuralvdb.vdb import VdbReader, write_vdb

    grid = VdbReader(small).read(0)
    grid.tree.leaf.values[0, 511] += 1
    write_vdb(tmp_path / "other.vdb", [grid])
    assert run("verify", archive, "other.vdb", code=10).stdout == f"{archive}: grid 'ball': content differs\n"


def test_an_error_of_one_file_does_not_keep_the_others(run, run_json, small):
    report = run_json("compress", "absent.vdb", small, "-o", ".", code=3)
    assert [result["source"] for result in report["results"]] == [str(small)]
    (error,) = report["errors"]
    assert error.keys() == {"path", "message", "exit_code"}
    assert (error["path"], error["exit_code"]) == ("absent.vdb", 3)


@pytest.mark.parametrize("args", [("compress", "nope.####.vdb"), ("info", "nope.####.vdb")])
def test_json_is_printed_even_if_nothing_matches(run_json, args):
    """A script that asked for JSON gets JSON, also where the work fails before it begins."""
    report = run_json(*args, code=3)
    assert report["errors"][0]["exit_code"] == 3


def test_version(run):
    assert run("--version").stdout == f"nvdb {neuralvdb.__version__}\n"


def test_every_command_has_help(run):
    for command in COMMANDS:
        assert f"usage: nvdb {command}" in run(command, "--help").stdout
