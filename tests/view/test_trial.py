"""`nvdb compress --try`: every quality of one frame, measured and drawn; no archive stays."""

import json
import tempfile

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api.pictures import picture_of_difference
from neuralvdb.api.trial import trial
from neuralvdb.cli.main import main
from neuralvdb.settings import CompressSettings, ViewSettings
from neuralvdb.vdb import from_dense, write_vdb

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def fog(tmp_path):
    """A file of rough fog."""
    x, y, z = np.indices((16, 16, 16)).astype(np.float32) / 3
    rough = np.random.default_rng(0).random((16, 16, 16), np.float32)
    density = np.exp(-((x - 3) ** 2 + (y - 3) ** 2 + (z - 3) ** 2) / 4) * (1 + rough)
    active = density > 0.1
    path = tmp_path / "fog.vdb"
    write_vdb(path, [from_dense(density, name="density", active=active)])
    return path


@pytest.mark.slow
def test_a_trial_measures_and_draws_every_quality(fog, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    report = trial(fog, tmp_path / "fog.png", CompressSettings(effort=0))
    assert [tried.quality for tried in report.trials] == ["lossless", "master", "production", "preview"]
    assert [loss.max_error for loss in report.trials[0].losses] == [0]
    sizes, shares = ([getattr(tried, name) for tried in report.trials] for name in ("archive_size", "max_share"))
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    assert shares == sorted(shares) and 0 < shares[1] < shares[3]
    pictures = [tried.t_psnr for tried in report.trials]
    assert pictures[0] is None and pictures[1] > pictures[2] > pictures[3] > 20
    with Image.open(tmp_path / "fog.png") as image:
        assert image.width > 5 * 320 and image.height > 2 * 320
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fog.png", "fog.vdb", "temporary"]
    _are_those_of_diff(fog, report.trials[3])


def _are_those_of_diff(fog, tried):
    """The figures of preview are those of `diff` for the archive that it makes; `diff` draws it, too."""
    archive = fog.with_suffix(".neuralvdb")
    neuralvdb.compress(fog, archive, CompressSettings(quality="preview", effort=0))
    assert tried.archive_size == archive.stat().st_size
    diffs = neuralvdb.diff(fog, archive).grids
    assert [(loss.max_error, loss.psnr) for loss in tried.losses] == [(diff.max_error, diff.psnr) for diff in diffs]
    picture_of_difference(fog, archive, archive.with_suffix(".png"), ViewSettings(force=True))
    with Image.open(archive.with_suffix(".png")) as image:
        assert image.height > 2 * 320


@pytest.mark.parametrize("words", [("--max-error", "1"), ("--psnr", "40")])
def test_what_allows_an_error_is_refused(fog, capsys, words):
    code = main(["compress", str(fog), "--try", "--json", *words])
    report = json.loads(capsys.readouterr().out)
    assert code == 2 and report["results"] == []
    assert report["errors"][0]["message"].startswith("--try tries every quality")


def test_several_frames_are_refused(fog, capsys):
    assert main(["compress", str(fog), str(fog), "--try"]) == 2
    assert "--try takes one frame, but there are 2" in capsys.readouterr().err
