"""Triton's interpreter, without what it does again and again."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from triton import language
from triton.language import core
from triton.runtime import interpreter

_numpy_type_of, _block_type, _tensor = interpreter._get_np_dtype, core.block_type.__init__, core.tensor.__init__
_NUMPY_TYPES: dict[str, Any] = {}  # by the name of a type
_BLOCKS: dict[tuple, dict[str, Any]] = {}  # attributes of a block's type, by the name of its elements and its shape
_SHAPES: dict[str, tuple[Any, Any]] = {}  # numbers of elements and shapes of tensors, by the name of their type


def hasten(monkeypatch: pytest.MonkeyPatch, *, checks_overflow: bool) -> None:
    """Has the interpreter prepare the language once for a kernel, not again whenever the kernel calls a function, and
    look into a type once, not again for each tensor.

    checks_overflow: of integers, at every sum and product, which takes 2 seconds of 5.
    """
    monkeypatch.setattr(interpreter, "_patch_lang", functools.partial(_prepare_once, interpreter._patch_lang))
    options = interpreter.InterpreterOptions(sanitize_overflow=checks_overflow)
    monkeypatch.setattr(interpreter.interpreter_builder, "options", options)
    monkeypatch.setattr(interpreter, "_get_np_dtype", _numpy_type)
    monkeypatch.setattr(core.block_type, "__init__", _make_block_type)
    monkeypatch.setattr(core.tensor, "__init__", _make_tensor)


def _prepare_once(prepare: Callable, function: Callable) -> Any:
    used = [module for module in function.__globals__.values() if module is language or module is core]
    if any(core.is_builtin(module.load) for module in used):
        return prepare(function)
    return interpreter._LangPatchScope()


def _numpy_type(kind: core.dtype) -> Any:
    if kind.name not in _NUMPY_TYPES:
        _NUMPY_TYPES[kind.name] = _numpy_type_of(kind)
    return _NUMPY_TYPES[kind.name]


def _make_block_type(self: core.block_type, element_ty: core.dtype, shape: Any) -> None:
    key = (element_ty.name, *[size.value if isinstance(size, core.constexpr) else size for size in shape])
    if key not in _BLOCKS:
        _block_type(self, element_ty, shape)
        _BLOCKS[key] = dict(vars(self))
    vars(self).update(_BLOCKS[key])
    self.element_ty = element_ty


def _make_tensor(self: core.tensor, handle: Any, type: core.dtype) -> None:
    if type.name not in _SHAPES:
        _tensor(self, handle, type)
        _SHAPES[type.name] = self.numel, self.shape
    self.handle, self.type, self.dtype = handle, type, type.scalar
    self.numel, self.shape = _SHAPES[type.name]
