"""`nvdb train`, --priors, --embed-priors, --fast and --effort from the command line."""

import numpy as np
import pytest

import neuralvdb
from neuralvdb import TrainSettings
from neuralvdb.vdb import from_dense, write_vdb

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def fog(tmp_path_factory):
    """A .vdb file of a fog of 9,000 voxels."""
    x, y, z = np.indices((20, 22, 21)) / 6
    noise = np.random.default_rng(0).normal(0, 0.05, x.shape)
    values = (3 + np.sin(x) * np.cos(y) + np.sin(z) + noise).astype(np.float32)
    path = tmp_path_factory.mktemp("fog") / "fog.vdb"
    write_vdb(path, [from_dense(values, name="density", active=np.ones(values.shape, bool))])
    return path


@pytest.fixture(scope="session")
def trained(fog):
    """What `nvdb train` makes of it in a few steps."""
    path = fog.with_name("my.priors")
    report = neuralvdb.train([fog], path, TrainSettings(iterations=12, device="cpu"))
    assert report.fields == {"fog": 1, "fog-mean": 1}
    return path


def test_training_gives_priors_that_archives_name(run, run_json, check_json, fog, trained, tmp_path):
    (report,) = run_json("train", fog, "-o", "my.priors", "--steps", "12", "--device", "cpu")["results"]
    check_json(report, "train")
    assert report["device"] == "cpu"
    assert (tmp_path / "my.priors").read_bytes() == trained.read_bytes()
    run("train", fog, "-o", "my.priors", code=6)
    run("compress", fog, "-o", "a.neuralvdb", "--rel-error", "1%", "--priors", "my.priors")
    error = run("decompress", "a.neuralvdb", code=12).stderr
    assert error.count("\n") == 1
    assert report["priors"] in error
    assert "--priors" in error
    assert not (tmp_path / "a.vdb").exists()
    assert report["priors"] in run("info", "a.neuralvdb").stdout
    run("verify", "a.neuralvdb", code=12)
    run("verify", "a.neuralvdb", fog, "--priors", "my.priors")
    run("diff", "a.neuralvdb", fog, "--priors", "my.priors", code=10)
    run("decompress", "a.neuralvdb", "--priors", "my.priors")


def test_trained_priors_code_their_own_file_in_less(run_json, fog, trained):
    sizes = []
    for options in ((), ("--priors", trained)):
        (report,) = run_json("compress", fog, "-o", "a", "--force", "--rel-error", "1%", *options)["results"]
        sizes.append(report["archive_size"])
    assert sizes[1] < sizes[0]


def test_embedded_priors_need_no_file(run, fog, trained, tmp_path):
    run("compress", fog, "-o", "a.neuralvdb", "--rel-error", "1%", "--priors", trained, "--embed-priors")
    run("verify", "a.neuralvdb", fog)
    run("decompress", "a.neuralvdb")
    assert "needs the priors" not in run("info", "a.neuralvdb").stdout


@pytest.fixture(scope="session")
def fast(fog):
    """What `nvdb train --fast` makes of the fog."""
    path = fog.with_name("fast.priors")
    neuralvdb.train([fog], path, TrainSettings(iterations=12, fast=True))
    return path


def test_the_fast_profile_is_told(run, run_json, fog, tmp_path):
    run("compress", fog, "-o", "full.neuralvdb", "--rel-error", "1%", "--effort", "0")
    summary = run("compress", fog, "-o", "fast.neuralvdb", "--rel-error", "1%", "--fast", "-v").stdout
    assert "sample lattice, fast" in summary
    assert "sample lattice, fast" in run("info", "fast.neuralvdb", "-v").stdout
    assert "fast" not in run("info", "full.neuralvdb", "-v").stdout.replace("fast.neuralvdb", "")
    for name, fast in (("fast", True), ("full", False)):
        (report,) = run_json("info", f"{name}.neuralvdb")["results"]
        assert report["grids"][0]["promise"]["fast"] is fast
        run("verify", f"{name}.neuralvdb", fog)
    run("compress", fog, "-o", "again.neuralvdb", "--rel-error", "1%", "--fast", "--effort", "0")
    assert (tmp_path / "again.neuralvdb").read_bytes() == (tmp_path / "fast.neuralvdb").read_bytes()


def test_fast_networks_are_tuned_and_carried(run, run_json, fog, fast):
    sizes = []
    for options in ((), ("--priors", fast)):
        options = ("--rel-error", "1%", "--fast", *options)
        (report,) = run_json("compress", fog, "-o", "a", "--force", *options)["results"]
        sizes.append(report["archive_size"])
    assert sizes[1] < sizes[0]
    assert report["promises"]["density"]["fast"]
    run("verify", "a", code=12)
    run("verify", "a", fog, "--priors", fast)
    run("compress", fog, "-o", "b", "--rel-error", "1%", "--fast", "--priors", fast, "--embed-priors")
    run("verify", "b", fog)
    assert "fast" in run("info", "-v", "b").stdout


def test_priors_that_are_not_fast_are_refused(run, fog, trained, tmp_path):
    error = run("compress", fog, "-o", "a", "--rel-error", "1%", "--fast", "--priors", trained, code=3).stderr
    assert "nvdb train --fast" in error
    assert not (tmp_path / "a").exists()


def test_training_needs_something_to_learn_from(run, tmp_path):
    write_vdb(
        tmp_path / "tiny.vdb", [from_dense(np.ones((4, 4, 4), np.float32), name="a", active=np.ones((4,) * 3, bool))]
    )
    assert "no grid to learn from" in run("train", "tiny.vdb", "-o", "x", code=3).stderr
    run("train", "tiny.vdb", "-o", "x", "--steps", "0", code=2)
    run("train", "missing.vdb", "-o", "x", code=3)
    (tmp_path / "bad.vdb").write_bytes(b"no vdb at all")
    run("train", "bad.vdb", "-o", "x", code=4)
    assert not (tmp_path / "x").exists()


def test_training_without_torch_says_what_to_install(monkeypatch, fog, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "neuralvdb.fit.fine_tune_files", None)
    with pytest.raises(neuralvdb.errors.Unsupported, match="pip install torch"):
        neuralvdb.train([fog], tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("priors", ["missing", "fog.vdb", "cut"])
def test_files_that_are_no_priors(run, fog, trained, tmp_path, priors):
    (tmp_path / "fog.vdb").write_bytes(fog.read_bytes())
    (tmp_path / "cut").write_bytes(trained.read_bytes()[:5000])
    code = 3 if priors == "missing" else 4
    error = run("compress", fog, "-o", "a", "--rel-error", "1%", "--priors", priors, code=code).stderr
    assert error.startswith(f"nvdb: {priors}: ")
    assert not (tmp_path / "a").exists()


def test_priors_are_no_volume(run, trained):
    assert "--priors" in run("decompress", trained, code=3).stderr


def test_no_effort_is_larger_than_none(run_json, sample):
    sizes = []
    for effort in (("--effort", "2"), (), ("--effort", "4")):
        (report,) = run_json("compress", sample, "-o", "a", "--force", "--rel-error", "0.2%", *effort)["results"]
        sizes.append(report["archive_size"])
    assert sizes[0] <= sizes[1]
    assert sizes[2] <= sizes[1]


def test_there_are_ten_efforts(run, sample):
    assert "effort" in run("compress", sample, "-o", "a", "--effort", "10", code=2).stderr


def test_learning_writes_nothing_but_its_result(run, fog, tmp_path, monkeypatch):
    """torch.optim would make a folder for its compiler, which a confined process must not."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "absent"))
    run("train", fog, "-o", "my.priors", "--steps", "1", "--device", "cpu")
    run("compress", fog, "-o", "a.neuralvdb", "--rel-error", "0.2%", "--effort", "5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.neuralvdb", "my.priors"]
