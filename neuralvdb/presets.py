"""Presets: what a quality keeps of each kind of grid, and what counts as simulation state; read from TOML files."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import UsageError, unreadable

_KINDS = {"fog": ("step", "knee"), "flame": ("step", "knee"), "velocity": ("rel_error",), "levelset": ("voxels",)}
_OPTIONAL = {"fog": {"picture", "rel_error"}, "flame": {"rel_error"}}
_BEST_PICTURE = 100.0  # dB; more is beyond what is measured
_SIMULATION_STATE = "simulation_state"  # the key of a file of presets that is none
_SHIPPED = Path(__file__).with_name("configs") / "presets.toml"


@dataclass(frozen=True, kw_only=True)
class MeanQuality:
    """How coarsely scalar values are kept, as shares of the grid's range; a step of 0 is lossless."""

    step: float = 0.0
    """Quantisation step of small values."""
    knee: float = 0.0
    """The value from which on steps grow; 0 where they never do."""
    picture: float = 0.0
    """Least T-PSNR in dB of the picture, for which the step is changed; 0 where none is promised."""
    rel_error: float = 0.0
    """Largest error of a voxel, beyond which it is stored exactly; 0 where none is promised."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A quality: what is kept of each kind of grid. Kinds that it does not name are lossless."""

    fog: MeanQuality = MeanQuality()
    """Scalar grids that a renderer shades."""
    flame: MeanQuality = MeanQuality()
    """Scalar grids that a renderer makes light of."""
    velocity: float = 0.0
    """Maximum error of vectors, as a share of the range."""
    levelset: float = 0.0
    """Maximum error of level sets, in voxels."""


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds. Raises InputError where it cannot be read, UsageError where it holds anything else."""
    if sys.version_info >= (3, 11):
        import tomllib  # which takes time
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML file: {error}") from error


@functools.cache
def presets(path: str = "") -> dict[str, Preset]:
    """The presets by name: those of the package (configs/presets.toml), and those of a file like it, which go first.

    Raises InputError where the file cannot be read, UsageError where it holds anything else.
    """
    tables = read_toml(path or _SHIPPED)
    from_file = {
        name: _preset(table, f"{path}: preset '{name}'") for name, table in tables.items() if name != _SIMULATION_STATE
    }
    if from_file.get("lossless", Preset()) != Preset():
        raise UsageError(f"{path}: preset 'lossless' keeps every bit; give yours another name")
    return presets() | from_file if path else from_file


@functools.cache
def simulation_state(path: str = "") -> tuple[str, ...]:
    """Patterns of the names of grids that only a simulation needs to go on: a file of presets', or the package's.

    Raises InputError where the file cannot be read, UsageError where it holds anything else.
    """
    names = read_toml(path or _SHIPPED).get(_SIMULATION_STATE)
    if names is None:
        return simulation_state()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f'{path}: {_SIMULATION_STATE} = {names!r} is no list of names such as ["flags", "*_previous"]')
    return tuple(names)


def _preset(table: object, where: str) -> Preset:
    numbers: dict[str, dict[str, float]] = {}
    for kind, values in table.items() if isinstance(table, dict) else [("", {})]:
        optional = _OPTIONAL.get(kind, set())
        if not isinstance(values, dict) or kind not in _KINDS or set(values) - optional != set(_KINDS[kind]):
            kinds = ", ".join(f"{name} = {{ {', '.join(keys)} }}" for name, keys in _KINDS.items())
            raise UsageError(f"{where}: '{kind}' is not one of {kinds}")
        for name, value in values.items():
            if type(value) not in (int, float) or not (0 < value < 1e6 or (name == "knee" and value == 0)):
                raise UsageError(f"{where}: {name} = {value!r} is no number above 0")
            if name == "picture" and value > _BEST_PICTURE:
                raise UsageError(f"{where}: no picture reaches {value:.4g} dB; 44 dB is what production promises")
        numbers[kind] = {name: float(value) for name, value in values.items()}
    return Preset(
        fog=_mean_quality(numbers.get("fog")),
        flame=_mean_quality(numbers.get("flame")),
        velocity=numbers.get("velocity", {}).get("rel_error", 0.0),
        levelset=numbers.get("levelset", {}).get("voxels", 0.0),
    )


def _mean_quality(numbers: dict[str, float] | None) -> MeanQuality:
    return MeanQuality() if numbers is None else MeanQuality(**numbers)
