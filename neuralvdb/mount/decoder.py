"""The process that decodes for a mount: it has one thread, so that it can make copies of itself, one for each archive
in use. These do all reading of archives; where one crashes, that is an error of what was asked and no more."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Protocol

from neuralvdb import platform
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile, NeuralVdbError, OutputError, Stopped
from neuralvdb.mount.cache import FrameCache
from neuralvdb.mount.messages import (
    MOST_BYTES,
    MOST_LISTED,
    Decode,
    Identify,
    Identity,
    Listed,
    ListFrames,
    Request,
    text_of_answer,
    unpack_identity,
    unpack_list,
)
from neuralvdb.mount.worker import FRAME_FILE, LIST_FILE, MEMORY_FACTOR, Worker
from neuralvdb.settings import MountSettings

_IDLE_WORKERS = 4  # that are kept, those used last
_BASE_MEMORY = 256 << 20  # bytes: what a worker has beside the grids


class Process(Protocol):
    """A child process that has begun a job, as cli.isolate has it."""

    def fileno(self) -> int:
        """Of a pipe that can be read when it says something, or ends."""

    def receive(self) -> bool:
        """Takes what it says. Whether it has ended."""

    def result(self) -> None:
        """Nothing, when it has ended well. Raises what ended it."""

    def end(self) -> None:
        """Kills it."""


class StartProcess(Protocol):
    """Begins a job that reads an archive in a child process which can write to a folder only."""

    def __call__(self, job: Callable[[], None], archive: str, folder: str, withheld: Sequence[int]) -> Process:
        """The process. withheld: descriptors that it does not get."""


@dataclass(frozen=True)
class Asked:
    """A request and its number. ahead: nobody waits for it yet."""

    number: int
    request: Request
    ahead: bool = False


Value = Identity | tuple[Listed, ...] | int


@dataclass(frozen=True)
class Answered:
    """What became of a request: a value or an error."""

    number: int
    value: Value | NeuralVdbError


class _Running:
    """A worker and what it is asked."""

    def __init__(self, worker: Worker, channel: socket.socket, process: Process, state: tuple[int, int]) -> None:
        self.path, self.folder, self.state = worker.path, worker.folder, state
        self.channel, self.process = channel, process
        self.current: Asked | None = None

    def ask(self, asked: Asked) -> None:
        """Hands a request on."""
        self.current = asked
        with contextlib.suppress(ConnectionError):  # it has ended, and its pipe will say how
            self.channel.send(pickle.dumps(asked.request))

    def hear(self) -> bytes:
        """What it says; nothing where it will say no more."""
        try:
            return self.channel.recv(MOST_BYTES)
        except ConnectionError:
            return b""

    def end(self) -> None:
        """Ends the process and removes what it wrote."""
        self.process.end()
        self.channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class DecodingProcess:
    """Answers the requests that come through `channel`, until None does or it is closed. work: a folder for workers'
    files."""

    def __init__(
        self, channel: Connection, start: StartProcess, cache: FrameCache, settings: MountSettings, work: str
    ) -> None:
        self._channel, self._start, self._cache, self._settings, self._work = channel, start, cache, settings, work
        self._waiting: list[Asked] = []  # those that somebody waits for come before those that nobody does
        self._last = 0  # number of the last request
        self._workers: dict[str, _Running] = {}  # by path, in the order of their last use
        self._selector = selectors.PollSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def run(self) -> None:
        """Answers."""
        try:
            while True:
                for key, _ in self._selector.select():
                    running: _Running | None = key.data
                    if running is None:
                        self._receive()
                    elif self._workers.get(running.path) is running:
                        self._take(running, from_channel=key.fileobj is running.channel)
                self._hand_out()
        except EOFError:
            pass
        finally:
            for running in self._workers.values():
                running.end()

    def _receive(self) -> None:
        """Takes a request, or that somebody now waits for one."""
        asked: Asked | None = self._channel.recv()
        if asked is None:
            raise EOFError
        waits = any(other.number == asked.number for other in self._waiting)
        if asked.number <= self._last and not waits:  # it is being worked on, or answered
            return
        self._last = max(self._last, asked.number)
        self._waiting = [other for other in self._waiting if other.number != asked.number]
        self._waiting = sorted([*self._waiting, asked], key=lambda other: other.ahead)

    def _hand_out(self) -> None:
        """Gives requests to workers that do nothing."""
        for asked in list(self._waiting):
            running = self._workers.get(asked.request.path)
            if (running is not None and running.current is not None) or not self._has_room(asked.request):
                continue
            self._waiting.remove(asked)
            size = self._cache.size(asked.request.identity.key) if isinstance(asked.request, Decode) else None
            if size is not None:  # decoded for another mount meanwhile
                self._channel.send(Answered(asked.number, size))
                continue
            try:
                if running is None or running.state != asked.request.state:
                    running = self._new_worker(asked.request, running)
                self._workers[running.path] = self._workers.pop(running.path)
                running.ask(asked)
            except NeuralVdbError as error:
                self._channel.send(Answered(asked.number, error))
            except OSError as error:
                failure = OutputError(f"{self._work}: work cannot begin: {error.strerror}; see --cache")
                self._channel.send(Answered(asked.number, failure))

    def _has_room(self, request: Request) -> bool:
        """Whether cores and memory allow to begin with a request beside those that are being worked on."""
        busy = [running.current.request for running in self._workers.values() if running.current is not None]
        needed = sum(map(_memory, [*busy, request]))
        return not busy or (len(busy) < self._settings.threads and needed <= platform.usable_memory())

    def _new_worker(self, request: Request, old: _Running | None) -> _Running:
        """A worker in the place of `old`, and of those that had nothing to do for longest. Raises OutOfMemory."""
        idle = [other for other in self._workers.values() if other.current is None and other is not old]
        for unneeded in [*idle[: max(len(idle) - _IDLE_WORKERS + 1, 0)], *([old] if old else [])]:
            self._drop(unneeded)
        channel, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker = Worker(request.path, tempfile.mkdtemp(dir=self._work), other_end, self._settings)
        withheld = [self._channel.fileno(), channel.fileno()]
        withheld += [running.channel.fileno() for running in self._workers.values()]
        try:
            with other_end:
                process = self._start(worker.run, worker.path, worker.folder, withheld)
        except BaseException:
            channel.close()
            raise
        running = self._workers[worker.path] = _Running(worker, channel, process, request.state)
        self._selector.register(channel, selectors.EVENT_READ, running)
        self._selector.register(process.fileno(), selectors.EVENT_READ, running)
        return running

    def _drop(self, running: _Running) -> None:
        del self._workers[running.path]
        for readable in (running.channel, running.process.fileno()):
            with contextlib.suppress(KeyError):  # it has said all
                self._selector.unregister(readable)
        running.end()

    def _take(self, running: _Running, *, from_channel: bool) -> None:
        """Takes what a worker says through its channel, or how it ended."""
        asked = running.current
        value: Value | NeuralVdbError | None = None
        try:
            if from_channel and (answer := running.hear()):
                running.current = None
                value = None if asked is None else self._value(asked.request, running, text_of_answer(answer))
            elif from_channel:
                self._selector.unregister(running.channel)  # its pipe will say how it ends
            elif running.process.receive():
                self._drop(running)
                running.process.result()
                raise Stopped(f"{running.path}: the work on it ended early; try again")
        except NeuralVdbError as error:
            value = error
        if asked is not None and value is not None:
            self._channel.send(Answered(asked.number, value))

    def _value(self, request: Request, running: _Running, text: str) -> Value:
        """What a worker's answer comes to. Raises DamagedFile, OutOfMemory, OutputError."""
        match request:
            case Identify():
                return unpack_identity(text, request.path)
            case Decode():
                return self._cache.keep(request.identity.key, os.path.join(running.folder, FRAME_FILE))
            case ListFrames():
                return unpack_list(_read_list(os.path.join(running.folder, LIST_FILE)), request.path)


def _memory(request: Request) -> int:
    """Bytes that the work on a request can need."""
    return _BASE_MEMORY + (MEMORY_FACTOR * request.identity.memory if isinstance(request, Decode) else 0)


def _read_list(path: str) -> bytes:
    """What a worker wrote, which need not be what it should be. Raises DamagedFile, OutputError."""
    try:
        handle = platform.open_no_link(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or state.st_size > MOST_LISTED:
                raise DamagedFile(f"{path}: is no list of frames")
            return file.read()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
