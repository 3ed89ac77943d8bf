"""Runs jobs in child processes, so that a crash is an error message and not the end.

A child is a fork made before any other thread exists here; what it raises or returns comes back through a pipe. It
cannot write files but its own nor reach a network, dies with this process, and its memory is limited, because a
damaged file can ask for any amount. This process reads nothing of any input, so that all children start alike. If one
crashes, Python's fault handler writes to the same pipe where the crashing thread was. Only a crash inside of the
OpenVDB reader is blamed on the file.
"""

from __future__ import annotations

import faulthandler
import functools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, TypeVar, cast

from neuralvdb import devices, platform
from neuralvdb.cli.answers import CallsInChild, Raised, Returned, pack, pack_told, take_told, unpack
from neuralvdb.confinement import confine
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile, InputError, NeuralVdbError, OutOfMemory, Stopped

T = TypeVar("T")
FileStates = list[tuple[int, int] | None]

withheld: set[int] = set()  # descriptors that a child does not get, beside those through which children answer
_pipes: dict[int, int] = {}  # these, by the numbers of children that have not ended; nobody may hold one of them yet
_parent = -1  # in a child: the pipe to who has started it
BASE_MEMORY = 768 << 20  # bytes: libraries yet to be loaded, threads and working memory
READERS = ("_open", "read", "outline")  # methods of VdbReader that call OpenVDB
_READER_FILE = re.compile(r"neuralvdb[/\\]vdb[/\\]files\.py$")
_FRAME = re.compile(rb'^  File "(.*)", line \d+ in (\w+)$', re.MULTILINE)  # as the fault handler writes it
# what Python, torch and OpenVDB's threads say without a MemoryError
_LACKS = ("can't start new thread", "can't allocate memory", "pthread_create has failed")


@dataclass(frozen=True, kw_only=True)
class IsolatedRunner:
    """A Runner that calls jobs in a child process.

    inputs: files that the job reads; messages name them.
    memory: bytes that the job's data may take beyond the libraries'; called in the child, where it may read the files.
    device: where some of the work is done; a GPU's driver takes memory and needs rights that other work has not.
    load: loads modules that the job needs and this process does not; called in the child, while it may write what
    Python keeps of modules that it compiles.
    """

    inputs: Sequence[str]
    memory: Callable[[], int]
    device: str = "cpu"
    load: Callable[[], None] = lambda: None

    def __call__(self, job: Callable[[], T], /, *, writes: Sequence[str] = ()) -> T:
        """What job() returns in a child. writes: files that it may write. Raises what Child.result() raises."""
        kept = frozenset(_pipes)
        try:
            child = self.start(job, writes=writes)
            while not child.receive():
                pass
            return child.result()
        except BaseException:
            end_all(kept)
            raise

    def start(self, job: Callable[[], T], /, *, writes: Sequence[str] = ()) -> Child[T]:
        """A child in which job() runs from now on. Raises OutOfMemory where there can be none, KeyboardInterrupt."""
        before = self._states()
        return Child(self, *_fork(functools.partial(self._work, job, writes)), before)

    def answer(self, ended: platform.Ended, output: bytes, before: FileStates) -> object:
        """What a job returned whose child ended so and wrote `output`; before: the state of the inputs at its start.

        Raises what the job raised. Also raises DamagedFile where the OpenVDB reader crashes or takes more memory than
        the file can need, InputError where it crashes on a file that was changed meanwhile, or finds it damaged,
        OutOfMemory where other work needs more than its limit or the system kills the child, Stopped where a signal
        ends it, NeuralVdbError where it crashes.
        """
        if ended.code < 0:
            raise self._killed(ended, output, changed=self._states() != before)
        if ended.code != 0 or not output:
            raise NeuralVdbError(
                f"{self._path}: the child process ended with code {ended.code} and gave no answer; please report this"
            )
        answer: Returned[object] | Raised = unpack(output)
        if isinstance(answer, Raised):
            if isinstance(answer.error, DamagedFile) and self._states() != before:
                raise self._changed() from answer.error
            raise answer.error from (CallsInChild(answer.calls) if answer.calls else None)
        if isinstance(answer.value, list) and self._states() != before:  # what became of each of several frames
            return [self._changed() if isinstance(outcome, DamagedFile) else outcome for outcome in answer.value]
        return answer.value

    @property
    def _path(self) -> str:
        return " or ".join(self.inputs if len(self.inputs) < 3 else [self.inputs[0], "another input"])

    def _work(self, job: Callable[[], T], writes: Sequence[str], pipe: int) -> None:
        """Writes to `pipe` what became of the job."""
        global _parent
        answer: Returned[T] | Raised
        limit, asked, _parent = 0, 0, pipe
        try:
            _mute_libraries()
            faulthandler.enable(pipe, all_threads=False)
            self.load()
            platform.keep_freed_memory()
            asked = platform.data_in_use() + BASE_MEMORY
            limit = platform.limit_memory(asked)
            uses_gpu = self.device != "cpu" and devices.seems_there()
            if not uses_gpu:
                confine([*writes, os.devnull])
            asked += self.memory() + (devices.MEMORY if uses_gpu else 0)
            limit = platform.limit_memory(asked)
            answer = Returned(job())
        except BaseException as error:  # the parent decides what to make of it
            lacking = _lacks_memory(error)
            answer = Raised.of(self._out_of_memory(error, limit, as_asked=limit == asked) if lacking else error)
        with os.fdopen(pipe, "wb") as stream:
            stream.write(pack(answer))

    def _killed(self, ended: platform.Ended, trace: bytes, *, changed: bool) -> NeuralVdbError:
        """The error for a signal that ended the child. trace: what the fault handler wrote; changed: an input was."""
        name = signal.Signals(-ended.code).name
        if ended.out_of_time:
            return Stopped(f"{self._path}: the work on it was stopped at the limit of CPU time (ulimit -t); raise it")
        if ended.code == -signal.SIGKILL:
            return OutOfMemory(
                f"{self._path}: the system killed the work on it, most likely for lack of memory; use fewer --threads"
            )
        if -ended.code not in platform.CRASHES:
            return Stopped(f"{self._path}: the work on it was stopped by a signal from outside ({name}); run it again")
        if changed:
            return self._changed()
        if any(_is_reader(os.fsdecode(file), method.decode()) for file, method in _FRAME.findall(trace)):
            return DamagedFile(
                f"{self._path}: the OpenVDB library crashed on it ({name}); it is damaged, restore or re-export it"
            )
        return NeuralVdbError(
            f"{self._path}: the work on it crashed ({name}); try fewer --threads or another machine, "
            "and report it if that does not help"
        )

    def _changed(self) -> InputError:
        return InputError(f"{self._path}: was changed while it was read; run it again when it is whole")

    def _out_of_memory(self, error: BaseException, limit: int, *, as_asked: bool) -> NeuralVdbError:
        """The error for a lack of memory: the file's fault where it is read and had all that such a file can need."""
        if as_asked and any(_is_reader(call.filename, call.name) for call in traceback.extract_tb(error.__traceback__)):
            return DamagedFile(
                f"{self._path}: asks for over {limit >> 20} MiB of memory, more than a file of its size can need; "
                "it is damaged"
            )
        return OutOfMemory(
            f"{self._path}: the work on it needs over {limit >> 20} MiB of memory or too many threads; "
            "use fewer --threads or another machine"
        )

    def _states(self) -> FileStates:
        """Size and time of change of each input, None where it is not there."""
        return [platform.file_state(path) for path in self.inputs]


class Child(Generic[T]):
    """A child process and what it has answered so far."""

    def __init__(self, runner: IsolatedRunner, number: int, pipe: int, before: FileStates) -> None:
        self._runner, self._number, self._pipe, self._before = runner, number, pipe, before
        self._output = bytearray()
        self._ended: platform.Ended | None = None

    def fileno(self) -> int:
        """Of the pipe that it answers through; there is something to receive() when it can be read."""
        return self._pipe

    def receive(self) -> bool:
        """Takes what the child has written, for which it waits. Whether that was all, and the child has ended."""
        data = os.read(self._pipe, 1 << 16)
        self._output += data
        if not data:
            self._ended = platform.wait_child(self._number)
            _close(self._number)
        return not data

    def told(self) -> list[object]:
        """What the job has told meanwhile, of what is received. Raises NeuralVdbError where it makes no sense."""
        return take_told(self._output)

    def result(self) -> T:
        """What the job returned, when all is received. Raises what it raised, and what IsolatedRunner.answer() does."""
        assert self._ended is not None
        return cast(T, self._runner.answer(self._ended, bytes(self._output), self._before))

    def end(self) -> None:
        """Kills the child where it is still there; an interrupt waits until it is gone."""
        if _pipes.get(self._number) == self._pipe:
            _end(self._number)


def tell(value: object) -> None:
    """In a child: lets who has started it hear of something before the job ends."""
    data = pack_told(value)
    while data:
        data = data[os.write(_parent, data) :]


def end_all(kept: frozenset[int] = frozenset()) -> None:
    """Kills the children that are still there, but for `kept`; an interrupt waits until each is gone."""
    for child in _pipes.keys() - kept:
        _end(child)


def _end(child: int) -> None:
    mask = platform.block_interrupts()
    platform.end_child(child)
    _close(child)
    platform.restore_interrupts(mask)


def _close(child: int) -> None:
    os.close(_pipes.pop(child))


def _fork(work: Callable[[int], None]) -> tuple[int, int]:
    """The number of a child process that calls work(pipe), and the other end of the pipe."""
    receive, send = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    mask = platform.block_interrupts()  # an interrupt inside of the fork would be lost
    try:
        child = platform.fork_child()
    except OSError as error:
        platform.restore_interrupts(mask)
        os.close(receive)
        os.close(send)
        raise OutOfMemory(
            f"cannot start a process: {error.strerror}; end some, or raise its limit (ulimit -u)"
        ) from None
    if child == 0:
        platform.restore_interrupts(mask)
        for pipe in (*withheld, *_pipes.values(), receive):  # what others answer is none of its business
            os.close(pipe)
        _work_and_exit(work, send)
    _pipes[child] = receive
    os.close(send)
    try:
        platform.restore_interrupts(mask)
    except BaseException:
        platform.block_interrupts()  # another one must not keep the child from being killed
        _end(child)
        platform.restore_interrupts(mask)
        raise
    return child, receive


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
