"""dataclass() as `dataclasses` has it, made in a tenth of the time.

That one looks at each field for long, and compiles up to six methods for each class, for half a millisecond; a command
loads over a hundred classes, and may be done in a tenth of a second. Here fields are looked at when somebody asks for
them, or where one is a field(). Only __init__ is made, when a class is first used, and classes with as many fields
share what is compiled of it; all share the other methods. Of what field() offers they know defaults and `compare`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from types import CodeType, FunctionType
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
        added, kind._init_fields = _added_fields(kind, kw_only), {}
        for base in reversed(kind.__bases__):
            kind._init_fields |= getattr(base, "_init_fields", {})
        kind._init_fields |= added
        kind._compared = tuple(name for name, field in kind._init_fields.items() if field.compare)
        kind.__match_args__ = tuple(name for name, field in kind._init_fields.items() if not field.kw_only)
        kind.__dataclass_fields__ = _FieldsWhenUsed(kind, kw_only)
        if any(field.is_given for field in added.values()):
            assert kind.__dataclass_fields__  # looked for, so that defaults take the places of what field() gave
        methods = {"__init__": _InitWhenUsed(kind), "__repr__": _repr, "__eq__": _eq}
        if frozen:
            methods |= {"__setattr__": _no_change, "__delattr__": _no_change}
        for name, method in methods.items():
            if name not in kind.__dict__:
                setattr(kind, name, method)
        if kind.__dict__.get("__hash__") is None:
            kind.__hash__ = _hash if frozen else None
        return kind


class _Field:
    """A field as far as methods need it."""

    def __init__(self, annotation: object, default: Any, kw_only: bool) -> None:
        given = default if isinstance(default, dataclasses.Field) else None
        assert given is None or (given.init and given.repr and given.hash is None)
        self.type, self.kw_only, self.is_given = annotation, kw_only, given is not None
        self.default = default if given is None else given.default
        self.factory = dataclasses.MISSING if given is None else given.default_factory
        self.compare = given is None or given.compare


def _added_fields(kind: type, kw_only: bool) -> dict[str, _Field]:
    """Those that a class adds, by name: all that it annotates."""
    defaults, missing = kind.__dict__, dataclasses.MISSING
    annotations: dict[str, object] = kind.__annotations__  # its own
    return {name: _Field(what, defaults.get(name, missing), kw_only) for name, what in annotations.items()}


class _FieldsWhenUsed:
    """Is in the place of a class's __dataclass_fields__ until somebody looks for them."""

    def __init__(self, kind: Any, kw_only: bool) -> None:
        self._kind, self._kw_only = kind, kw_only

    def __get__(self, instance: object, owner: type) -> dict[str, dataclasses.Field[Any]]:
        dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=self._kw_only)(self._kind)
        fields: dict[str, dataclasses.Field[Any]] = self._kind.__dataclass_fields__
        return fields


class _InitWhenUsed:
    """Is in the place of a class's __init__() until somebody looks for it."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get__(self, instance: object, owner: type) -> Any:
        self._kind.__init__ = made = _init(self._kind)
        return made.__get__(instance, owner)


def _init(kind: Any) -> FunctionType:
    """The method __init__() that sets the fields of a class."""
    fields: dict[str, _Field] = kind._init_fields
    given = [name for name, field in fields.items() if not field.kw_only]
    named = [name for name, field in fields.items() if field.kw_only]
    factories = tuple(i for i, name in enumerate(given + named) if fields[name].factory is not dataclasses.MISSING)
    code = _code(len(fields), factories, hasattr(kind, "__post_init__"))
    names = {f"_{i}": name for i, name in enumerate(given + named)}
    code = code.replace(
        co_argcount=1 + len(given),
        co_kwonlyargcount=len(named),
        co_varnames=("self", *given, *named),
        co_consts=tuple(names.get(const, const) if isinstance(const, str) else const for const in code.co_consts),
    )
    used = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    used |= {f"_make{i}": fields[names[f"_{i}"]].factory for i in factories}
    init = FunctionType(code, used, "__init__")
    defaults = {
        name: field.default
        for name, field in fields.items()
        if field.default is not dataclasses.MISSING or field.factory is not dataclasses.MISSING
    }
    init.__defaults__ = tuple(defaults[name] for name in given if name in defaults)
    init.__kwdefaults__ = {name: defaults[name] for name in named if name in defaults}
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__annotations__ = {name: field.type for name, field in fields.items()} | {"return": None}
    return init


@functools.cache
def _code(count: int, factories: tuple[int, ...], then: bool) -> CodeType:
    """That of an __init__() of so many fields, called _0, _1, ..., those in `factories` made where they are missing;
    then: __post_init__() follows."""
    names = [f"_{i}" for i in range(count)]
    values = [f"_make{i}() if _{i} is _missing else _{i}" if i in factories else f"_{i}" for i in range(len(names))]
    body = [f" _set(self, {name!r}, {value})" for name, value in zip(names, values, strict=True)]
    body += [" self.__post_init__()"] if then else []
    made: dict[str, FunctionType] = {}
    exec(f"def __init__({', '.join(['self', *names])}):\n" + "\n".join(body or [" pass"]), made)
    return made["__init__"].__code__


def _values(kind: Any) -> tuple[object, ...]:
    return tuple(getattr(kind, name) for name in kind._compared)


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._init_fields)
    return f"{type(self).__qualname__}({fields})"


def _eq(self: object, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _no_change(self: object, name: str, _: object = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field '{name}'")
