"""Frames of a mount as open files: from the cache, else decoded; and the one that will be opened next decoded ahead."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, cast

from neuralvdb import platform
from neuralvdb.errors import DamagedFile, InputError, NeuralVdbError, OutOfMemory, OutputError, Stopped
from neuralvdb.mount.cache import FrameCache, SizeTable
from neuralvdb.mount.client import Decoder
from neuralvdb.mount.messages import Decode, FrameName, Identify, Identity, Listed, ListFrames
from neuralvdb.mount.tree import ShotFrames

_TRIES = 3  # a frame may go from the cache before it is opened
_PASSING = (InputError, OutOfMemory, OutputError, Stopped)  # errors that another try may not have
_RECENT = 64  # frames opened last, by whose neighbours those that come next are told
State = tuple[int, int]


class NextTo(Protocol):
    """Says which frame comes `step` behind another one, None where there is none."""

    def __call__(self, frame: FrameName, step: int) -> FrameName | None:
        """The frame."""


class Frames:
    """Frames of archives as files. Threads may use it at the same time.

    An error that the bytes of an archive have is raised again without another try, until the file changes.
    """

    def __init__(self, cache: FrameCache, decoder: Decoder) -> None:
        self._cache, self._decoder = cache, decoder
        self._sizes = SizeTable(cache.folder)
        self._lock = threading.Lock()
        self._shots: dict[str, tuple[State, ShotFrames]] = {}
        self._identities: dict[FrameName, tuple[State, Identity]] = {}
        self._failures: dict[FrameName, tuple[State, NeuralVdbError]] = {}
        self._recent: OrderedDict[FrameName, None] = OrderedDict()
        self._ahead = ThreadPoolExecutor(1)

    def shot(self, path: str) -> ShotFrames:
        """The frames of an archive of many. Raises InputError, DamagedFile, Unsupported."""
        state = _state(path)
        known_state, shot = self._shots.get(path, (None, None))
        if shot is None or known_state != state:
            shot = ShotFrames(cast(tuple[Listed, ...], self._decoder.ask(ListFrames(path, state))))
            self._shots[path] = state, shot
        return shot

    def identity(self, frame: FrameName) -> Identity:
        """What a frame is told by. Raises what FrameReader raises."""
        state = _state(frame.path)
        known_state, identity = self._identities.get(frame, (None, None))
        if identity is None or known_state != state:
            self._check(frame, state)
            try:
                identity = cast(Identity, self._decoder.ask(Identify(frame, state)))
            except NeuralVdbError as error:
                raise self._failed(frame, state, error) from error
            self._identities[frame] = state, identity
        return identity

    def open(self, frame: FrameName) -> tuple[int, str]:
        """A descriptor of a frame, and its key. Raises what decompress() raises, Stopped."""
        for _ in range(_TRIES):
            identity = self.identity(frame)
            handle = self._cache.open(identity.key)
            if handle is not None:
                self._sizes.add(identity.key, os.fstat(handle).st_size)
                return handle, identity.key
            self._decode(frame, identity)
        raise OutputError(f"{frame.path}: its frame went from the cache at once; raise --cache-size")

    def size(self, frame: FrameName, *, exact: bool) -> int:
        """Bytes of a frame's file; unless `exact`, of its source where it was never decoded. Raises as open() does."""
        identity = self.identity(frame)
        size = self._sizes.get(identity.key) or self._cache.size(identity.key)
        if size is None:
            size = self._decode(frame, identity) if exact else identity.source_size
        return size

    def opened(self, frame: FrameName, next_to: NextTo) -> None:
        """Hears that a program has opened a frame. Has the one behind it decoded where the one before it was opened not
        long ago, or the other way round; nobody waits for that."""
        again = frame in self._recent
        with self._lock:
            self._recent[frame] = None
            self._recent.move_to_end(frame)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
        if not again:
            self._ahead.submit(self._prepare, frame, next_to)

    def _prepare(self, frame: FrameName, next_to: NextTo) -> None:
        """Has a frame beside `frame` decoded. Who opens it will hear of errors."""
        with contextlib.suppress(NeuralVdbError, KeyError):
            for step in (1, -1):
                before, behind = next_to(frame, -step), next_to(frame, step)
                if before in self._recent and behind is not None and behind not in self._recent:
                    identity, state = self.identity(behind), _state(behind.path)
                    if self._cache.size(identity.key) is None:
                        self._check(behind, state)
                        self._decoder.prepare(Decode(behind, state, identity))

    def _decode(self, frame: FrameName, identity: Identity) -> int:
        state = _state(frame.path)
        self._check(frame, state)
        try:
            size = cast(int, self._decoder.ask(Decode(frame, state, identity)))
        except NeuralVdbError as error:
            raise self._failed(frame, state, error) from error
        self._sizes.add(identity.key, size)
        return size

    def _check(self, frame: FrameName, state: State) -> None:
        """Raises the error that a frame is known to have."""
        failed_state, error = self._failures.get(frame, (None, None))
        if error is not None and failed_state == state and not isinstance(error, _PASSING):
            raise KnownFailure(frame) from error

    def _failed(self, frame: FrameName, state: State, error: NeuralVdbError) -> NeuralVdbError:
        """The error for who asked for a frame; the first of those who waited for the same hears what it is."""
        with self._lock:
            _, last = self._failures.get(frame, (None, None))
            self._failures[frame] = state, error
        return KnownFailure(frame) if last is error else error


class KnownFailure(DamagedFile):
    """A frame cannot be decoded, as was said before."""

    def __init__(self, frame: FrameName) -> None:
        super().__init__(f"{frame.path}: cannot be decoded, as was said before")


def _state(path: str) -> State:
    """The file's. Raises InputError where it is not there."""
    state = platform.file_state(path)
    if state is None:
        raise InputError(f"{path}: cannot be read: it is gone")
    return state
