"""Keywords of the public functions, and the settings that they make."""

from __future__ import annotations

import difflib
import os
import typing
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict, TypeVar

from neuralvdb.settings import Bound, Box, Settings, TrainSettings
from neuralvdb.typed import declared_types

S = TypeVar("S", bound=Settings | TrainSettings)

_ERRORS = ("max_error", "rel_error", "psnr", "tolerance")


class SharedChoices(TypedDict, total=False):
    """Those of every function that reads or writes archives; each is the field of that name of its settings."""

    threads: int
    priors: str | os.PathLike[str]


class ReadChoices(SharedChoices, total=False):
    """Those of every function that reads archives."""

    frame: int | Decimal
    """Of an archive of many."""


class CompressChoices(SharedChoices, total=False):
    """Those of compress(). Errors are for all grids, or for each by name: `max_error={"density": 0.002}`."""

    quality: str
    presets_file: str | os.PathLike[str]
    leave_out: str | list[str] | tuple[str, ...]
    simulation_state: str
    max_error: float | Mapping[str, float]
    """No active value is off by more; level sets: in voxels."""
    rel_error: float | Mapping[str, float]
    """As a share of the active range: 0.01 is 1 %."""
    psnr: float | Mapping[str, float]
    """The active values keep this PSNR in dB, its peak the active range."""
    tolerance: tuple[float, float] | Mapping[str, tuple[float, float]]
    """(a, r): a value v may be off by a or by r |v|, whichever is more."""
    grids: str | list[str] | tuple[str, ...]
    topology: str
    effort: int
    fast: bool
    embed_priors: bool
    device: str
    verify: bool
    force: bool
    skip_existing: bool


class DecompressChoices(ReadChoices, total=False):
    """Those of decompress()."""

    grids: str | list[str] | tuple[str, ...]
    compression: str
    box: Box | None
    lod: int
    topology_only: bool
    device: str
    force: bool
    skip_existing: bool


class VerifyChoices(ReadChoices, total=False):
    """Those of verify()."""

    device: str


class DiffChoices(ReadChoices, total=False):
    """Those of diff()."""

    grids: str | list[str] | tuple[str, ...]


class TrainChoices(TypedDict, total=False):
    """Those of train()."""

    iterations: int
    fast: bool
    device: str
    force: bool


def settings_from(kind: type[S], settings: S | None, choices: Mapping[str, Any]) -> S:
    """`settings`, or what keywords choose. Raises TypeError where both are given or a keyword is none or of another
    type, and what the settings raise."""
    if settings is not None:
        if not isinstance(settings, kind):
            raise TypeError(f"settings are {kind.__name__}, not {settings!r}; choices such as force=True go by name")
        if choices:
            raise TypeError(f"'{next(iter(choices))}' is a field of settings; give either settings or keywords")
        return settings
    types = declared_types(kind)
    errors = _ERRORS if "bounds" in types else ()
    for name in choices:
        if name not in (*types, *errors):
            similar = difflib.get_close_matches(name, (*types, *errors), n=1)
            raise TypeError(f"there is no '{name}'" + "".join(f"; is {match} meant?" for match in similar))
    fields: dict[str, Any] = {
        name: _for_settings(value, types[name]) for name, value in choices.items() if name not in errors
    }
    if errors:
        fields["bounds"] = (*fields.get("bounds", ()), *_bounds(choices))
    return kind(**fields)


def _for_settings(value: object, declared: object) -> object:
    """What settings hold, a value of the type `declared`, in place of a list, one name for some, or a path."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if typing.get_origin(declared) is tuple:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return value


def _bounds(choices: Mapping[str, Any]) -> list[Bound]:
    """The bounds that keywords ask for, in their order."""
    bounds = []
    for name, value in choices.items():
        if name in _ERRORS:
            by_grid = value if isinstance(value, Mapping) else {"": value}
            bounds += [_bound(name, grid, number) for grid, number in by_grid.items()]
    return bounds


def _bound(name: str, grid: str, value: Any) -> Bound:
    ratio = 0.0
    if name == "tolerance":
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"tolerance is two numbers such as (0.001, 0.05), not {value!r}")
        value, ratio = value
    try:
        return Bound(value=value, relative=name == "rel_error", grid=grid, ratio=ratio, decibels=name == "psnr")
    except TypeError:
        raise TypeError(f"{name} is a number, or numbers by the names of grids, not {value!r}") from None
