"""What a child process tells and answers, as bytes. It may have read a hostile file, so that they are not trusted."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import importlib
import io
import pickle
import struct
import traceback
from typing import Generic, TypeVar

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError

T = TypeVar("T")
_HEAD = struct.Struct("<cQ")  # of what is told before the answer, which begins otherwise: _TOLD, and how many bytes
_TOLD = b"T"


@dataclass(frozen=True)
class Told:
    """What a job had to tell before it ended."""

    value: object


@dataclass(frozen=True)
class Returned(Generic[T]):
    """What a job returned."""

    value: T


@dataclass(frozen=True)
class Raised:
    """What a job raised. calls: where, as Python prints it; empty for an error that this package raises on purpose."""

    error: BaseException
    calls: str = ""

    @staticmethod
    def of(error: BaseException) -> Raised:
        """What the error is in an answer; one that has no place there becomes one that has."""
        expected = isinstance(error, NeuralVdbError)
        calls = "" if expected else "".join(traceback.format_exception(error))
        if not _is_allowed(type(error)):
            error = NeuralVdbError(f"{type(error).__name__}: {error}")
        return Raised(error, calls)


class CallsInChild(Exception):
    """The cause of an error that a child process raised; its text is where."""


def pack(answer: Returned[T] | Raised) -> bytes:
    """The answer in bytes."""
    return pickle.dumps(answer)


def unpack(data: bytes) -> Returned[T] | Raised:
    """The answer that pack() made `data` of. Raises NeuralVdbError where it is none."""
    answer = _load(data)
    if not isinstance(answer, Returned | Raised):
        raise NeuralVdbError("the child process gave no answer that makes sense")
    return answer


def pack_told(value: object) -> bytes:
    """What is told before the answer, in bytes."""
    data = pickle.dumps(Told(value))
    return _HEAD.pack(_TOLD, len(data)) + data


def take_told(data: bytearray) -> list[object]:
    """What of `data`, which gets shorter, is told before the answer. Raises NeuralVdbError where it makes no sense."""
    values = []
    while data.startswith(_TOLD) and len(data) >= _HEAD.size:
        end = _HEAD.size + _HEAD.unpack_from(data)[1]
        if len(data) < end:
            break
        told = _load(bytes(data[_HEAD.size : end]))
        del data[:end]
        if not isinstance(told, Told):
            raise NeuralVdbError("the child process told nothing that makes sense")
        values.append(told.value)
    return values


def _load(data: bytes) -> object:
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        raise NeuralVdbError(f"the child process gave no answer that makes sense ({error})") from error


class _Unpickler(pickle.Unpickler):
    """Makes nothing but data: dataclasses and enumerations of this package, errors, and what Python writes as such."""

    def find_class(self, module: str, name: str) -> object:
        """The class of a name. Raises pickle.UnpicklingError where data does not need it."""
        if module == "builtins" or module.partition(".")[0] == "neuralvdb":
            kind = getattr(importlib.import_module(module), name, None)
            if isinstance(kind, type) and _is_allowed(kind):
                return kind
        raise pickle.UnpicklingError(f"{module}.{name} is no data")


def _is_allowed(kind: type) -> bool:
    if kind.__module__ == builtins.__name__:
        return issubclass(kind, BaseException)
    return kind.__module__.partition(".")[0] == "neuralvdb" and (
        dataclasses.is_dataclass(kind) or issubclass(kind, BaseException | enum.Enum)
    )
