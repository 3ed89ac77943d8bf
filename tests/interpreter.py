"""Triton's interpreter, without what it does again and again."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from triton import language
from triton.language import core
from triton.runtime import interpreter


def hasten(monkeypatch: pytest.MonkeyPatch, *, checks_overflow: bool) -> None:
    """Has the interpreter prepare the language once for a kernel, not again whenever the kernel calls a function.

    checks_overflow: of integers, at every sum and product, which takes 2 seconds of 5.
    """
    monkeypatch.setattr(interpreter, "_patch_lang", functools.partial(_prepare_once, interpreter._patch_lang))
    options = interpreter.InterpreterOptions(sanitize_overflow=checks_overflow)
    monkeypatch.setattr(interpreter.interpreter_builder, "options", options)


def _prepare_once(prepare: Callable, function: Callable) -> Any:
    used = [module for module in function.__globals__.values() if module is language or module is core]
    if any(core.is_builtin(module.load) for module in used):
        return prepare(function)
    return interpreter._LangPatchScope()
