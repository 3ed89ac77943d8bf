"""Runs a job in a child process, so that a crash of the OpenVDB library is an error message and not the end.

The child is a fork made before any other thread exists here; what it raises or returns comes back through
a pipe. Its memory is limited, because a damaged file can ask for any amount.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from neuralvdb.errors import DamagedFile, NeuralVdbError, OutOfMemory

_BASE_MEMORY = 768 << 20  # bytes: libraries yet to be loaded, threads and working memory
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


def run_isolated(job: Callable[..., object], *args: object, path: str, memory: int) -> object:
    """job(*args) in a child; `memory` (bytes) is what its data may take beyond the libraries'.

    Raises what the job raises, DamagedFile where the child crashes over the file `path` or outgrows its
    limit, OutOfMemory where the system kills it, KeyboardInterrupt.
    """
    receive, send = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)  # an interrupt inside of fork() would be lost
    child = os.fork()
    if child == 0:
        os.close(receive)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this child
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
        _run_child(send, job, args, path, memory)
    os.close(send)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
        with os.fdopen(receive, "rb") as pipe:
            answer = pipe.read()
        status = os.waitpid(child, 0)[1]
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it may have ended just now
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        raise
    return _judge(os.waitstatus_to_exitcode(status), answer, path)


def _run_child(send: int, job: Callable[..., object], args: tuple, path: str, memory: int) -> NoReturn:
    limit = min(_taken() + memory + _BASE_MEMORY, sys.maxsize)  # what a damaged file asks for may be more than can be
    try:
        _mute_libraries()
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        answer = (True, job(*args))
    except MemoryError:
        why = f"asks for over {limit >> 20} MiB of memory, more than a file of its size can need; it is damaged"
        answer = (False, DamagedFile(f"{path}: {why}"))
    except BaseException as error:  # the parent decides what to make of it
        answer = (False, error)
    status = 1
    try:
        with os.fdopen(send, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        status = 0
    finally:
        os._exit(status)


def _taken() -> int:
    """Bytes of data that this process has already, as RLIMIT_DATA counts them."""
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[5]) * resource.getpagesize()


def _mute_libraries() -> None:
    """Leaves stderr to Python: libraries print warnings of their own about damaged files."""
    sys.stderr = os.fdopen(os.dup(2), "w", errors="backslashreplace", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _judge(code: int, answer: bytes, path: str) -> object:
    if code == -signal.SIGKILL:
        raise OutOfMemory(
            f"{path}: the system killed the work on it, most likely for lack of memory; use fewer --threads"
        )
    if code < 0:
        name = signal.Signals(-code).name
        raise DamagedFile(f"{path}: the OpenVDB library crashed on it ({name}); it is damaged, restore or re-export it")
    if code != 0 or not answer:
        raise NeuralVdbError(
            f"{path}: the child process ended with code {code} and without an answer; please report this"
        )
    done, value = pickle.loads(answer)
    if done:
        return value
    raise value
