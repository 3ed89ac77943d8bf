"""dataclass() as `dataclasses` has it, made in a tenth of the time.

That one compiles up to six methods for each class, for half a millisecond; a command loads over a hundred classes, and
may be done in a tenth of a second. Here only __init__ is compiled, when a class is first used, and all classes share
the other methods. Of what field() offers they know defaults and `compare`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        kind: type | None = None, /, *, frozen: bool = False, kw_only: bool = False
    ) -> type | Callable[[type], type]:
        """The class with the methods of a dataclass; without one, a decorator with these options."""
        if kind is None:
            return lambda kind: dataclass(kind, frozen=frozen, kw_only=kw_only)
        dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(kind)
        fields = dataclasses.fields(kind)
        kind._compared = tuple(field.name for field in fields if field.compare)
        methods = {"__init__": _InitWhenUsed(kind, fields), "__repr__": _repr, "__eq__": _eq}
        if frozen:
            methods |= {"__setattr__": _no_change, "__delattr__": _no_change}
        for name, method in methods.items():
            if name not in kind.__dict__:
                setattr(kind, name, method)
        if kind.__dict__.get("__hash__") is None:
            kind.__hash__ = _hash if frozen else None
        return kind


class _InitWhenUsed:
    """Is in the place of a class's __init__() until somebody looks for it."""

    def __init__(self, kind: Any, fields: tuple[dataclasses.Field[Any], ...]) -> None:
        self._kind, self._fields = kind, fields

    def __get__(self, instance: object, owner: type) -> Any:
        self._kind.__init__ = made = _init(self._kind, self._fields)
        return made.__get__(instance, owner)


def _init(kind: type, fields: tuple[dataclasses.Field[Any], ...]) -> Any:
    """The method __init__() that sets these fields of a class."""
    given, named, body = ["self"], list[str](), list[str]()
    names: dict[str, object] = {"_missing": dataclasses.MISSING, "_set": object.__setattr__}
    for number, field in enumerate(fields):
        assert field.init and field.repr and field.hash is None
        default, value = "", field.name
        if field.default_factory is not dataclasses.MISSING:
            names[f"_make{number}"] = field.default_factory
            default, value = " = _missing", f"_make{number}() if {field.name} is _missing else {field.name}"
        elif field.default is not dataclasses.MISSING:
            names[f"_default{number}"] = field.default
            default = f" = _default{number}"
        (named if field.kw_only else given).append(field.name + default)
        body.append(f" _set(self, {field.name!r}, {value})")
    if hasattr(kind, "__post_init__"):
        body.append(" self.__post_init__()")
    given += ["*", *named] if named else []
    exec(f"def __init__({', '.join(given)}):\n" + "\n".join(body or [" pass"]), names)
    init: Any = names["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
    return init


def _values(kind: Any) -> tuple[object, ...]:
    return tuple(getattr(kind, name) for name in kind._compared)


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({fields})"


def _eq(self: object, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _no_change(self: object, name: str, _: object = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field '{name}'")
