"""Calls `nvdb` inside this process, which is much faster than starting it, and measures what the call took."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy.ma  # noqa: F401 - NumPy would import it in every run

from neuralvdb.cli.main import main as nvdb

_GIVE_UP = 30.0  # seconds


@dataclass
class Usage:
    """A call: its exit code (or what it raised), stderr, seconds of CPU time of this process and of the child that
    `nvdb` works in, and bytes of memory of the one that had more, less what this process had before."""

    code: int | str = 0
    message: str = ""
    seconds: float = 0.0
    memory: int = 0
    left_running: bool = False


class Meter:
    """Runs commands one after another; their output goes into memory."""

    def __init__(self) -> None:
        self._out, self._err = os.memfd_create("stdout"), os.memfd_create("stderr")
        signal.signal(signal.SIGALRM, _stop)

    def run(self, argv: list[str]) -> Usage:
        """Usage of `nvdb` with these arguments; after 30 s it is stopped."""
        usage, before = Usage(), _children()
        with self._captured(), _measured(usage):
            usage.code = _nvdb(argv)
        usage.left_running = not _children() <= before
        usage.message = os.pread(self._err, 1 << 16, 0).decode("utf-8", "replace")
        return usage

    @contextlib.contextmanager
    def _captured(self) -> Iterator[None]:
        """Sends stdout and stderr, Python's and those of the libraries, to self._out and self._err."""
        with contextlib.ExitStack() as stack:
            for name, number, memory in (("stdout", 1, self._out), ("stderr", 2, self._err)):
                os.ftruncate(memory, 0)
                os.lseek(memory, 0, os.SEEK_SET)
                before = os.dup(number)
                stack.callback(os.close, before)
                stack.callback(os.dup2, before, number)
                os.dup2(memory, number)
                stream = stack.enter_context(os.fdopen(number, "w", closefd=False))
                stack.enter_context(mock.patch.object(sys, name, stream))
            yield


class _TooLate(BaseException):
    """The call has to be stopped."""


def _stop(*_: object) -> None:
    raise _TooLate


def _nvdb(argv: list[str]) -> int | str:
    try:
        return nvdb(argv)
    except BaseException as error:  # whatever comes through is a finding
        return repr(error)


@contextlib.contextmanager
def _measured(usage: Usage) -> Iterator[None]:
    """Measures the block into `usage`; the one child of `nvdb` is measured as it is waited for."""

    wait4 = os.wait4

    def measuring(child: int, options: int) -> tuple[int, int, resource.struct_rusage]:
        number, status, taken = wait4(child, options)
        usage.memory = max(usage.memory, (taken.ru_maxrss << 10) - before)
        usage.seconds += taken.ru_utime + taken.ru_stime
        return number, status, taken

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
    began, before = time.process_time(), _highest()
    signal.setitimer(signal.ITIMER_REAL, _GIVE_UP)
    try:
        with mock.patch("os.wait4", measuring):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        usage.seconds += time.process_time() - began
        usage.memory = max(usage.memory, _highest() - before)


def _children() -> set[str]:
    """Processes of this one that are running or not waited for."""
    return {child for path in Path("/proc/self/task").glob("*/children") for child in path.read_text().split()}


def _highest() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10
