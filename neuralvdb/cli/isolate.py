"""Runs a job in a child process, so that a crash is an error message and not the end.

The child is a fork made before any other thread exists here; what it raises or returns comes back through a pipe. Its
memory is limited, because a damaged file can ask for any amount. If it crashes, Python's fault handler writes to the
same pipe where the crashing thread was. Only a crash inside of the OpenVDB reader is blamed on the file.
"""

from __future__ import annotations

import faulthandler
import functools
import os
import pickle
import re
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from neuralvdb import platform
from neuralvdb.errors import DamagedFile, NeuralVdbError, OutOfMemory

T = TypeVar("T")

_BASE_MEMORY = 768 << 20  # bytes: libraries yet to be loaded, threads and working memory
READERS = ("_open", "read", "outline")  # methods of VdbReader that call OpenVDB
_READER_FILE = re.compile(r"neuralvdb[/\\]vdb[/\\]files\.py$")
_FRAME = re.compile(rb'^  File "(.*)", line \d+ in (\w+)$', re.MULTILINE)  # as the fault handler writes it
_LACKS = ("can't start new thread", "can't allocate memory")  # what Python and torch say without a MemoryError


@dataclass(frozen=True)
class IsolatedRunner:
    """A Runner that calls jobs in a child process.

    path: what messages name. memory: bytes that the job's data may take beyond the libraries'.
    """

    path: str
    memory: int

    def __call__(self, job: Callable[[], T], /) -> T:
        """What job() returns in the child. Raises what it raises, and KeyboardInterrupt.

        Also raises DamagedFile where the OpenVDB reader crashes or outgrows the limit, OutOfMemory where anything else
        does so or the system kills the child, NeuralVdbError where it crashes elsewhere.
        """
        code, output = _in_child(functools.partial(self._work, job))
        if code == -signal.SIGKILL:
            raise OutOfMemory(
                f"{self.path}: the system killed the work on it, most likely for lack of memory; use fewer --threads"
            )
        if code < 0:
            raise self._crashed(signal.Signals(-code).name, output)
        if code != 0 or not output:
            raise NeuralVdbError(
                f"{self.path}: the child process ended with code {code} and without an answer; please report this"
            )
        answer: _Returned[T] | _Raised = pickle.loads(output)
        if isinstance(answer, _Raised):
            raise answer.error
        return answer.value

    def _work(self, job: Callable[[], T], pipe: int) -> None:
        """Writes to `pipe` what became of the job."""
        limit = platform.data_in_use() + self.memory + _BASE_MEMORY
        answer: _Returned[T] | _Raised
        try:
            _mute_libraries()
            faulthandler.enable(pipe, all_threads=False)
            platform.limit_memory(limit)
            answer = _Returned(job())
        except BaseException as error:  # the parent decides what to make of it
            answer = _Raised(self._out_of_memory(error, limit) if _lacks_memory(error) else error)
        with os.fdopen(pipe, "wb") as stream:
            stream.write(pickle.dumps(answer))

    def _crashed(self, name: str, trace: bytes) -> NeuralVdbError:
        """The error for a signal called `name` that ended the child; trace: what the fault handler wrote."""
        if any(_is_reader(os.fsdecode(file), method.decode()) for file, method in _FRAME.findall(trace)):
            return DamagedFile(
                f"{self.path}: the OpenVDB library crashed on it ({name}); it is damaged, restore or re-export it"
            )
        return NeuralVdbError(
            f"{self.path}: the work on it crashed ({name}); try fewer --threads or another machine, "
            "and report it if that does not help"
        )

    def _out_of_memory(self, error: BaseException, limit: int) -> NeuralVdbError:
        """The error for a lack of memory: the file's fault where it is read, else the machine's."""
        if any(_is_reader(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)):
            return DamagedFile(
                f"{self.path}: asks for over {limit >> 20} MiB of memory, more than a file of its size can need; "
                "it is damaged"
            )
        return OutOfMemory(
            f"{self.path}: the work on it needs over {limit >> 20} MiB of memory or too many threads; "
            "use fewer --threads or another machine"
        )


@dataclass(frozen=True)
class _Returned(Generic[T]):
    """What a job returned."""

    value: T


@dataclass(frozen=True)
class _Raised:
    """What a job raised."""

    error: BaseException


def _in_child(work: Callable[[int], None]) -> tuple[int, bytes]:
    """The exit code of a child process (-n where signal n ended it) that called work(pipe), and what it wrote there."""
    receive, send = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    mask = platform.block_interrupts()  # an interrupt inside of the fork would be lost
    child = platform.fork_child()
    if child == 0:
        os.close(receive)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this child
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        platform.restore_interrupts(mask)
        _work_and_exit(work, send)
    os.close(send)
    try:
        platform.restore_interrupts(mask)
        with os.fdopen(receive, "rb") as pipe:
            output = pipe.read()
        return platform.wait_child(child), output
    except BaseException:
        platform.end_child(child)
        raise


def _work_and_exit(work: Callable[[int], None], pipe: int) -> NoReturn:
    status = 1
    try:
        work(pipe)
        status = 0
    finally:
        os._exit(status)


def _mute_libraries() -> None:
    """Leaves stderr to Python: libraries print warnings of their own about damaged files."""
    sys.stderr = os.fdopen(os.dup(2), "w", errors="backslashreplace", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _is_reader(file: str, function: str) -> bool:
    """Whether a stack frame is one of VdbReader's that call OpenVDB."""
    return function in READERS and _READER_FILE.search(file) is not None


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _LACKS)
    )
