"""A show's settings: options go before NVDB_QUALITY, that before nvdb.toml above the output."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from neuralvdb.api.source import without
from neuralvdb.cli.main import COMMANDS
from neuralvdb.cli.show import Choice, choose
from neuralvdb.errors import InputError, UsageError
from neuralvdb.presets import presets, simulation_state
from neuralvdb.settings import CompressSettings
from neuralvdb.values import EncodeContext, products
from neuralvdb.vdb import VdbReader, from_dense, write_vdb


class Named(NamedTuple):
    """A grid's name, and that of the one whose tree it shares."""

    unique_name: bytes
    parent: bytes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project file; outputs are two folders below it."""
    path = tmp_path / "nvdb.toml"
    path.write_text(
        'quality = "hero"\npresets = "own/presets.toml"\nleave_out = ["fuel", "*_previous"]\n'
        'threads = 3\nsimulation_state = "drop"\n'
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "presets.toml").write_text("[hero]\nlevelset = { voxels = 0.2 }\n")
    return path


def choice_of(folder: Path, *options: str) -> Choice:
    """What holds for an output two folders below `folder`, which need not be there."""
    parser = argparse.ArgumentParser()
    COMMANDS["compress"].add_arguments(parser)
    return choose(parser.parse_args(["in.vdb", *options]), folder / "shot" / "cache" / "smoke.neuralvdb")


def test_the_nearest_file_above_the_output_holds(project, tmp_path):
    choice = choice_of(tmp_path)
    assert choice.project_file == str(project)
    hero = str(tmp_path / "own" / "presets.toml")
    assert choice.settings == CompressSettings(
        quality="hero", presets_file=hero, leave_out=("fuel", "*_previous"), threads=3, simulation_state="drop"
    )
    (tmp_path / "shot").mkdir()
    (tmp_path / "shot" / "nvdb.toml").write_text('priors = "show.priors"\n')
    nearest = CompressSettings(priors=str(tmp_path / "shot" / "show.priors"))
    assert choice_of(tmp_path).settings == nearest
    assert choice_of(tmp_path, "--config", str(project)).settings.quality == "hero"
    assert choice_of(tmp_path.parent).project_file is None


def test_options_go_before_the_variable_and_that_before_the_file(project, tmp_path, monkeypatch):
    assert choice_of(tmp_path, "--lossless", "--threads", "2").settings.quality == "lossless"
    assert choice_of(tmp_path, "--leave-out", "heat").settings.leave_out == ("heat",)
    monkeypatch.setenv("NVDB_QUALITY", "master")
    assert choice_of(tmp_path).settings.quality == "master"
    assert choice_of(tmp_path, "--quality", "preview").settings.quality == "preview"
    assert choice_of(tmp_path.parent).settings == CompressSettings(quality="master")
    monkeypatch.setenv("NVDB_QUALITY", "")
    assert choice_of(tmp_path).settings.quality == "hero"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quality = 5", "nvdb.toml: quality = 5 makes no sense"),
        ('quality = "best"', "nvdb.toml: there is no quality 'best'; there are preview"),
        ('leave_out = "fuel"', "leave_out = 'fuel' makes no sense; it is such as leave_out = ["),
        ("threads = true", "threads = True makes no sense"),
        ("threads = 0", "threads = 0 makes no sense"),
        ('simulation_state = "lose"', "simulation_state = 'lose' makes no sense"),
        ('Quality = "master"', "nvdb.toml: there is no key 'Quality'; there are quality, presets"),
        ('[quality]\nname = "x"', "nvdb.toml: quality = {'name': 'x'} makes no sense"),
        ("quality", "nvdb.toml: is no TOML file"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_named_with_its_file(tmp_path, text, said):
    (tmp_path / "nvdb.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        choice_of(tmp_path)
    assert said in str(error.value)


def test_what_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        choice_of(tmp_path, "--config", str(tmp_path / "none.toml"))
    (tmp_path / "nvdb.toml").write_text('presets = "none"')
    with pytest.raises(InputError, match="none: cannot be read: No such file"):
        choice_of(tmp_path)
    monkeypatch.setenv("NVDB_QUALITY", "best")
    with pytest.raises(UsageError, match="NVDB_QUALITY: there is no quality 'best'"):
        choice_of(tmp_path.parent)


def test_a_grid_stays_whose_tree_another_one_shares():
    first = Named(b"density\x1e1", b"")
    second = Named(b"smoke", b"density\x1e1")
    for pattern, kept in (("density[1]", [0, 1]), ("dens*", [0, 1]), ("smoke", [0]), ("*", []), ("Smoke", [0, 1])):
        assert without([first, second], [0, 1], [pattern]) == kept


def test_the_command_says_which_file_holds_and_what_it_leaves_out(run, run_json, tmp_path):
    values = np.ones((2, 2, 2), np.float32)
    grids = [from_dense(values, name=name, active=values > 0) for name in ("density", "fuel", "heat_previous")]
    write_vdb(tmp_path / "in.vdb", grids)
    (tmp_path / "nvdb.toml").write_text('leave_out = ["fuel", "*_previous", "absent"]\n')
    said = run("compress", "in.vdb", "-o", "a", "-v").stderr
    config = str(tmp_path / "nvdb.toml")
    first = f"nvdb: predictions are computed with {products()}\n"
    assert said == f"{first}nvdb: a: settings of {config}\nnvdb: in.vdb: left out as asked: fuel, heat_previous\n"
    assert "all of its grids are left out" in run("compress", "in.vdb", "-o", "b", "--leave-out", "*", code=11).stderr
    (result,) = run_json("compress", "in.vdb", "-o", "b")["results"]
    assert (result["config"], result["grids"]) == (config, ["density"])
    assert result["left_out"] == ["fuel", "heat_previous"]
    assert "\nleft out: fuel, heat_previous\n" in run("info", "b").stdout
    assert run_json("info", "b")["results"][0]["left_out"] == ["fuel", "heat_previous"]


def test_simulation_state_is_what_no_renderer_reads(data, tmp_path):
    grids = VdbReader(data / "sequence-blender-24grids" / "fluid_data_0001.vdb").entries
    kept = [grids[i].name for i in without(grids, range(len(grids)), simulation_state())]
    fire = ["flame", "color_r", "color_g", "color_b", "emission", "fuel", "react"]
    assert kept == ["velocity", "density", "shadow", "temperature", *fire]
    assert CompressSettings(leave_out=("a",)).unwanted == ("a",)
    assert CompressSettings(leave_out=("a",), simulation_state="drop").unwanted == ("a", *simulation_state())
    path = tmp_path / "presets.toml"
    for text, names in (("[mine]", simulation_state()), ('simulation_state = ["tmp*"]\n[mine]', ("tmp*",))):
        path.write_text(text)
        simulation_state.cache_clear()
        assert simulation_state(str(path)) == names
        dropped = CompressSettings(simulation_state="drop", presets_file=str(path))
        by_name = EncodeContext.of(CompressSettings(leave_out=names)).settings_hash  # --skip-existing goes by this
        assert EncodeContext.of(dropped).settings_hash == by_name
        assert "simulation_state" not in presets(str(path))
    path.write_text("simulation_state = 5")
    simulation_state.cache_clear()
    with pytest.raises(UsageError, match="is no list of names"):
        simulation_state(str(path))
