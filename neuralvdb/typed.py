"""Are values of the types that a class declares for them?"""

from __future__ import annotations

import dataclasses
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any

_DECLARED: dict[type[Any], Mapping[str, object]] = {}  # by those asked for before
_NUMBERS = {float: numbers.Real, int: numbers.Integral}


def check_types(settings: object) -> None:
    """Raises TypeError, with the name of the field, where one of a dataclass holds what it does not declare."""
    kind = type(settings)
    for name, declared in declared_types(kind).items():
        value = getattr(settings, name)
        if not fits(value, declared):
            raise TypeError(f"{kind.__name__}: {name} is {type_text(declared)}, not {value!r}")


def declared_types(kind: type[Any]) -> Mapping[str, object]:
    """The types of a dataclass's fields by name."""
    if kind not in _DECLARED:
        hints = typing.get_type_hints(kind)
        _DECLARED[kind] = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return _DECLARED[kind]


def fits(value: object, declared: object) -> bool:
    """Whether a value is of a type: a class, a union or a tuple of such. NumPy's numbers count as Python's."""
    inner = typing.get_args(declared)
    if isinstance(declared, types.UnionType) or typing.get_origin(declared) is typing.Union:
        return any(fits(value, choice) for choice in inner)
    if typing.get_origin(declared) is tuple:
        if not isinstance(value, tuple):
            return False
        every = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return len(value) == len(every) and all(map(fits, value, every))
    assert isinstance(declared, type)
    if declared in _NUMBERS:
        return isinstance(value, _NUMBERS[declared]) and not isinstance(value, bool)
    return isinstance(value, declared)


def type_text(declared: object) -> str:
    """A type in words: `int or None`, `a tuple of str`."""
    inner = typing.get_args(declared)
    if typing.get_origin(declared) is tuple:
        return f"a tuple of {type_text(inner[0])}"
    if inner:
        return " or ".join(map(type_text, inner))
    return "None" if declared is type(None) else getattr(declared, "__name__", str(declared))
