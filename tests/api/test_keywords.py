"""Choices by keyword: the public functions make settings of them, check their types and speak Python."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings
from neuralvdb.api import choices
from neuralvdb.errors import NoSuchDevice, OutputExists, UsageError
from neuralvdb.settings import Bound, Settings, TrainSettings
from neuralvdb.vdb import VdbReader, from_dense, write_vdb


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    """A file of two grids."""
    path = tmp_path_factory.mktemp("ball") / "ball.vdb"
    values = (6 - np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0)).clip(0).astype(np.float32)
    write_vdb(path, [from_dense(values, name=name) for name in ("density", "heat")])
    return path


def test_errors_by_grid_hold(ball, tmp_path):
    leaf = VdbReader(ball).read(1).tree.leaf
    span = float(np.ptp(leaf.values[leaf.values > 0]))
    report = neuralvdb.compress(
        ball, tmp_path / "a", quality="lossless", max_error={"density": 0.2}, rel_error={"heat": 0.02}, effort=0
    )
    assert {name: promise.max_error for name, promise in report.promises.items()} == pytest.approx(
        {"density": 0.2, "heat": 0.02 * span}, rel=1e-5
    )


@pytest.mark.parametrize(
    ("keywords", "bound"),
    [
        ({"max_error": 0.5}, Bound(value=0.5, relative=False)),
        ({"rel_error": 0.01}, Bound(value=0.01, relative=True)),
        ({"psnr": 40}, Bound(value=40, relative=False, decibels=True)),
        ({"tolerance": (0.1, 0.05)}, Bound(value=0.1, relative=False, ratio=0.05)),
        ({"psnr": {"heat": 40.0}}, Bound(value=40.0, relative=False, decibels=True, grid="heat")),
    ],
)
def test_keywords_are_bounds(keywords, bound):
    assert choices.settings_from(CompressSettings, None, keywords) == CompressSettings(bounds=(bound,))


def test_lists_names_and_paths_are_taken(tmp_path):
    for grids in ("heat", ["heat"], ("heat",)):
        assert choices.settings_from(CompressSettings, None, {"grids": grids}).grids == ("heat",)
    assert choices.settings_from(CompressSettings, None, {"priors": tmp_path}).priors == str(tmp_path)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"qualty": "master"}, "there is no 'qualty'; is quality meant?"),
        ({"threads": "4"}, "threads is int, not '4'"),
        ({"grids": 3}, "grids is a tuple of str, not 3"),
        ({"force": 1}, "force is bool, not 1"),
        ({"effort": 2.5}, "effort is int, not 2.5"),
        ({"max_error": "1%"}, "max_error is a number, or numbers by the names of grids, not '1%'"),
        ({"tolerance": 0.1}, "tolerance is two numbers such as"),
        ({"settings": CompressSettings(), "force": True}, "give either settings or keywords"),
        ({"settings": True}, "settings are CompressSettings, not True"),
    ],
)
def test_wrong_types_are_type_errors(ball, tmp_path, keywords, text):
    with pytest.raises(TypeError, match=text):
        neuralvdb.compress(ball, tmp_path / "a", **keywords)
    assert not list(tmp_path.iterdir())


def test_a_number_is_no_bound():
    with pytest.raises(TypeError, match="bounds is a tuple of Bound"):
        CompressSettings(bounds=(0.01,))
    assert Bound(value=np.float32(0.5), relative=False).value == 0.5


def test_errors_speak_of_keywords(ball, tmp_path):
    neuralvdb.compress(ball, tmp_path / "a", quality="lossless")
    with pytest.raises(OutputExists, match="use force=True to overwrite it"):
        neuralvdb.compress(ball, tmp_path / "a")
    with pytest.raises(NoSuchDevice, match="device='cpu'"):
        neuralvdb.compress(ball, tmp_path / "b", device="cuda:99")
    with pytest.raises(UsageError, match="nothing"):
        neuralvdb.compress(ball, tmp_path / "b", rel_error=1)


@pytest.mark.parametrize("name", ["compress", "decompress", "verify", "diff", "train"])
def test_keywords_are_the_fields_of_settings(name):
    settings = getattr(neuralvdb, f"{name.title()}Settings")
    assert issubclass(settings, Settings | TrainSettings)
    fields = {field.name for field in dataclasses.fields(settings)} - {"bounds"}
    keywords = set(typing.get_type_hints(getattr(choices, f"{name.title()}Choices")))
    assert keywords == fields | ({"max_error", "rel_error", "psnr", "tolerance"} if name == "compress" else set())
    assert f"{name.title()}Choices" in str(inspect.signature(getattr(neuralvdb, name)).parameters["choices"].annotation)
