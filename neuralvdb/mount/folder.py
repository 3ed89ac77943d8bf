"""An ordinary folder that is filled with decoded frames, and holds no more bytes of them than a limit."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Set

from neuralvdb import platform
from neuralvdb.errors import OutputError
from neuralvdb.units import size_text

_LIST = ".nvdb-cache"  # names of the frames that were put there, and may be removed; a zero byte behind each


class FrameFolder:
    """The folder `path`, which is there. limit: bytes. asked: names of frames that must not go. Raises OutputError.

    Frames that other runs put there go first that were read longest ago; files of others are left alone, and not
    counted.
    """

    def __init__(self, path: str, limit: int, asked: Set[str]) -> None:
        self._path, self._limit, self._asked = path, limit, asked
        self._full = False
        self._names = frozenset[str]()
        if os.path.lexists(os.path.join(path, _LIST)):  # else nothing is left behind where all frames fail
            with self._locked() as names:
                self._names = frozenset(names)

    def has_put(self, name: str) -> bool:
        """Whether a run before this one put it there."""
        return name in self._names

    def check_room(self) -> None:
        """Raises OutputError where a frame did not fit."""
        if self._full:
            raise self._no_room()

    def take(self, name: str) -> None:
        """Counts a frame that is there now as used, and removes others where they take too much. Raises OutputError
        where it does not fit; then it is gone, too."""
        path = os.path.join(self._path, name)
        with self._locked() as names:
            names[name] = None
            state = os.stat(path)
            os.utime(path, ns=(time.time_ns(), state.st_mtime_ns))
            if self._make_room(names) > self._limit:
                del names[name]
                os.unlink(path)
                self._full = True
                raise self._no_room()

    def _make_room(self, names: dict[str, None]) -> int:
        """Removes frames while there are too many bytes. Gives the bytes that are left."""
        entries = []
        for name in list(names):
            try:
                state = os.stat(os.path.join(self._path, name))
                entries.append((max(state.st_atime_ns, state.st_mtime_ns), state.st_size, name))
            except OSError:  # somebody removed it
                del names[name]
        total = sum(size for _, size, _ in entries)
        for _, size, name in sorted(entries):
            if total > self._limit and name not in self._asked:
                os.unlink(os.path.join(self._path, name))
                del names[name]
                total -= size
        return total

    @contextlib.contextmanager
    def _locked(self) -> Iterator[dict[str, None]]:
        """The names on the list, which no other process changes during the block; changes are written at its end."""
        path = os.path.join(self._path, _LIST)
        try:
            with platform.locked_file(path), open(path, "r+", errors="surrogateescape", newline="") as file:
                text = file.read()
                names = dict.fromkeys(text.split("\0")[:-1])
                try:
                    yield names
                finally:
                    new = "".join(f"{name}\0" for name in names)
                    if new != text:
                        file.seek(0)
                        file.write(new)
                        file.truncate()
        except OSError as error:
            raise OutputError(f"{error.filename or path}: cannot be written: {error.strerror}") from error

    def _no_room(self) -> OutputError:
        text = f"{self._path}: the frames asked for take more than {size_text(self._limit)}"
        return OutputError(f"{text}; ask for fewer, or raise --cache-size")
