"""What a show has set for all: a project file above the output, and an environment variable. Options go before both."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from neuralvdb.cli.options import settings_of
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import UsageError
from neuralvdb.presets import presets, read_toml
from neuralvdb.settings import SIMULATION_STATES, CompressSettings

PROJECT_FILE = "nvdb.toml"
QUALITY_VARIABLE = "NVDB_QUALITY"


@dataclass(frozen=True)
class Choice:
    """What holds for one output."""

    settings: CompressSettings
    project_file: str | None
    """The file that some of them may come from."""


def choose(args: argparse.Namespace, target: Path) -> Choice:
    """The settings for an output: by options, else by NVDB_QUALITY, else by the project file, else the defaults.

    Raises UsageError, InputError.
    """
    path = args.config or _find(os.path.abspath(target.parent))
    options = {name: value for name, value in vars(args).items() if value is not None}
    variables = {"quality": os.environ[QUALITY_VARIABLE]} if os.environ.get(QUALITY_VARIABLE) else {}
    project = _read(path) if path else {}
    merged = argparse.Namespace(**{**vars(args), **project, **variables, **options})
    qualities = presets(merged.presets_file or "")
    if merged.quality not in (None, *qualities):
        where = "--quality" if "quality" in options else QUALITY_VARIABLE if variables else path
        raise UsageError(f"{where}: there is no quality '{merged.quality}'; there are {', '.join(qualities)}")
    return Choice(settings_of(merged, CompressSettings), path)


def _find(folder: str) -> str | None:
    """The project file in a folder or the nearest one above it, None where there is none."""
    candidates = [os.path.join(above, PROJECT_FILE) for above in (folder, *map(str, Path(folder).parents))]
    return next(filter(os.path.isfile, candidates), None)


def _read(path: str) -> dict[str, object]:
    """What a project file sets, by the names of CompressSettings' fields; its paths are relative to its folder.

    Raises UsageError, InputError.
    """
    fields = {}
    for name, value in read_toml(path).items():
        if name not in _KEYS:
            raise UsageError(f"{path}: there is no key '{name}'; there are {', '.join(_KEYS)}")
        key = _KEYS[name]
        if not key.is_valid(value):
            raise UsageError(f"{path}: {name} = {value!r} makes no sense; it is such as {name} = {key.example}")
        fields[key.field] = key.value(path, value)
    return fields


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


@dataclass(frozen=True)
class _Key:
    """A key of a project file: the field that it sets, a value as it is written, and which ones are allowed."""

    field: str
    example: str
    is_valid: Callable[[object], bool]
    is_path: bool = False

    def value(self, path: str, written: object) -> object:
        """What the field holds."""
        if isinstance(written, list):
            return tuple(written)
        return os.path.join(os.path.dirname(path), str(written)) if self.is_path else written


_KEYS = {
    "quality": _Key("quality", '"master"', _is_text),
    "presets": _Key("presets_file", '"presets.toml"', _is_text, is_path=True),
    "priors": _Key("priors", '"show.priors"', _is_text, is_path=True),
    "leave_out": _Key("leave_out", '["fuel", "*_previous"]', _are_texts),
    "simulation_state": _Key("simulation_state", '"drop"', lambda value: value in SIMULATION_STATES),
    "threads": _Key("threads", "8", _is_count),
}
