"""No option vanishes: each field of a command's settings has an option, and no field is without a docstring."""

import argparse
import ast
import inspect
from dataclasses import fields

import pytest

from neuralvdb import presets, settings
from neuralvdb.cli.main import COMMANDS
from neuralvdb.cli.options import settings_of

CLASSES = {
    "compress": settings.CompressSettings,
    "decompress": settings.DecompressSettings,
    "verify": settings.VerifySettings,
    "diff": settings.DiffSettings,
    "train": settings.TrainSettings,
}
PARTS = (settings.Settings, settings.Bound, presets.MeanQuality, presets.Preset, settings.Effort)
PYTHON_ONLY = {command: {"frame"} for command in ("decompress", "verify", "diff")}  # fields without an option
INPUTS = {"compress": ["a"], "decompress": ["a"], "verify": ["a"], "diff": ["a", "b"], "train": ["a", "-o", "x"]}
OPTIONS = {
    "compress": (
        "--grids a,b --leave-out c --simulation-state drop --force --skip-existing --quality preview --max-error 0.1 "
        "--topology pruned "
        "--device cpu --threads 3 --effort 4 --fast --priors p --embed-priors --no-verify"
    ),
    "decompress": "--grids a --force --skip-existing --compression zip --bbox=-1,2,3,4,5,6 --lod 2 --device cpu "
    "--threads 3 --priors p",
    "verify": "--priors p --device cpu --threads 3",
    "diff": "--grids a --priors p --threads 3",
    "train": "--force --steps 7 --fast --device cpu",
}


def parsed(command: str, options: str = "") -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    COMMANDS[command].add_arguments(parser)
    return parser.parse_args([*INPUTS[command], *options.split()])


@pytest.mark.parametrize("command", CLASSES)
def test_every_field_has_an_option(command):
    names = {field.name for field in fields(CLASSES[command])}
    assert names - set(vars(parsed(command))) == PYTHON_ONLY.get(command, set())


@pytest.mark.parametrize("command", CLASSES)
def test_without_options_settings_are_the_defaults(command):
    assert settings_of(parsed(command), CLASSES[command]) == CLASSES[command]()


@pytest.mark.parametrize("command", CLASSES)
def test_every_option_arrives(command):
    parsed_settings, defaults = settings_of(parsed(command, OPTIONS[command]), CLASSES[command]), CLASSES[command]()
    same = {
        field.name
        for field in fields(defaults)
        if getattr(parsed_settings, field.name) == getattr(defaults, field.name)
    }
    # A file of presets, what excludes other options, and the frame, which --frames gives input by input.
    assert same <= {"presets_file", "topology_only", "frame"}


@pytest.mark.parametrize(
    "kind",
    [settings.Bound, presets.MeanQuality, presets.Preset, settings.Effort, settings.Settings, *CLASSES.values()],
)
def test_every_field_says_what_it_is(kind):
    body = ast.parse(inspect.getsource(kind)).body[0].body
    pairs = list(zip(body, [*body[1:], None], strict=True))
    bare = [a.target.id for a, b in pairs if isinstance(a, ast.AnnAssign) and not isinstance(b, ast.Expr)]
    assert bare == []


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (settings.CompressSettings, {"threads": 0}),
        (settings.CompressSettings, {"effort": 10}),
        (settings.CompressSettings, {"quality": "splendid"}),
        (settings.CompressSettings, {"topology": "bent"}),
        (settings.CompressSettings, {"topology": "pruned"}),
        (settings.CompressSettings, {"device": "gpu"}),
        (settings.DecompressSettings, {"lod": 4}),
        (settings.DecompressSettings, {"lod": -1}),
        (settings.DecompressSettings, {"compression": "rar"}),
        (settings.DecompressSettings, {"topology_only": True, "lod": 1}),
        (settings.DecompressSettings, {"device": "cuda:"}),
        (settings.VerifySettings, {"device": "gpu"}),
        (settings.DiffSettings, {"threads": -1}),
        (settings.TrainSettings, {"iterations": 0}),
        (settings.TrainSettings, {"device": ""}),
        (settings.Bound, {"value": -1.0, "relative": True}),
        (settings.Bound, {"value": float("nan"), "relative": True}),
        (settings.Bound, {"value": 0.1, "relative": True, "ratio": 1.0}),
        (settings.Box, {"low": (0, 0, 1), "high": (0, 0, 0)}),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_when_it_is_made(kind, options):
    with pytest.raises(settings.UsageError):
        kind(**options)
