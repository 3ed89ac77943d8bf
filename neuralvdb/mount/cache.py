"""Decoded .vdb files in a folder of limited size, each under the key of the content that it was decoded from.

Several processes may share the folder. A file in it is whole: it is written elsewhere and moved there. What was not
used for longest goes first; a file that goes while a program has it open stays readable to that program.

    FOLDER/frames/KEY.vdb   decoded frames; the time of change is that of the last use
    FOLDER/sizes            lines `KEY SIZE`, also of frames that went
    FOLDER/work/NAME/       what processes write, one folder each, locked while the process lives
    FOLDER/lock             locked while files are moved in and removed
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from neuralvdb import platform
from neuralvdb.errors import OutputError
from neuralvdb.settings import VDB_SUFFIX
from neuralvdb.units import size_text

_KEY = re.compile(r"[0-9a-f]{32}")
_MOST_SIZES = 1 << 20  # lines of the table of sizes, of which the last half stay


class FrameCache:
    """The decoded frames of a folder, which is made where it is not there; `limit`: bytes that they may take.

    Raises OutputError where the folder cannot be made.
    """

    def __init__(self, folder: str, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._frames = os.path.join(folder, "frames")
        with _writing(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.makedirs(self._frames, exist_ok=True)

    def open(self, key: str) -> int | None:
        """A descriptor of the frame of a key, which now counts as used; None where it is not there. Raises OSError."""
        try:
            handle = platform.open_no_link(self._path(key), os.O_RDONLY)
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):  # of another user, on a disk that cannot be written
            os.utime(handle)
        return handle

    def size(self, key: str) -> int | None:
        """Bytes of the frame of a key, None where it is not there."""
        try:
            return os.stat(self._path(key)).st_size
        except OSError:
            return None

    def keep(self, key: str, path: str) -> int:
        """Moves a decoded file in and makes room for it. Gives its size. Raises OutputError, also
        where it is larger than the limit."""
        with _writing(self.folder):
            state = os.lstat(path)
            if not stat.S_ISREG(state.st_mode):
                raise OutputError(f"{path}: is no ordinary file any more")
            if state.st_size > self.limit:
                raise too_large(self.limit)
            with platform.locked_file(os.path.join(self.folder, "lock")):
                self._make_room(state.st_size, self._path(key))
                os.replace(path, self._path(key))
        return state.st_size

    def _make_room(self, wanted: int, replaced: str) -> None:
        """Removes frames, those used longest ago first, until `wanted` bytes more are no more than the limit."""
        entries = [entry for entry in self._entries() if entry[2] != replaced]
        total = wanted + sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size

    def _entries(self) -> list[tuple[int, int, str]]:
        """Time of the last use, size and path of each frame."""
        entries = []
        with os.scandir(self._frames) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    state = file.stat(follow_symlinks=False)
                    entries.append((state.st_mtime_ns, state.st_size, file.path))
        return entries

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key")
        return os.path.join(self._frames, key + VDB_SUFFIX)


class SizeTable:
    """Sizes of decoded frames by their keys, kept in the cache's folder for good."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "sizes"
        self._sizes: dict[str, int] = {}
        with contextlib.suppress(OSError):
            lines = self._path.read_text("ascii", "replace").splitlines()
            for line in lines:
                key, _, size = line.partition(" ")
                if _KEY.fullmatch(key) and size.isdecimal():
                    self._sizes[key] = int(size)
            if len(lines) > _MOST_SIZES:
                temporary = self._path.with_name(f"sizes.{os.getpid()}")
                temporary.write_text("\n".join(lines[-_MOST_SIZES // 2 :]) + "\n")
                os.replace(temporary, self._path)

    def get(self, key: str) -> int | None:
        """The size of a frame, None where nobody decoded it yet."""
        return self._sizes.get(key)

    def add(self, key: str, size: int) -> None:
        """Keeps a size; where it cannot be written it is known until the end of the process."""
        if self._sizes.get(key) != size:
            self._sizes[key] = size
            with contextlib.suppress(OSError), open(self._path, "a") as file:
                file.write(f"{key} {size}\n")


def too_large(limit: int) -> OutputError:
    """The error for a frame of more bytes than all frames may take."""
    return OutputError(f"a decoded frame does not fit into a cache of {size_text(limit)}; raise --cache-size")


@contextlib.contextmanager
def workplace(folder: str) -> Iterator[str]:
    """A folder within the cache's in which to write files, gone with all in it when the block ends. Those of processes
    that were killed are removed first. Raises OutputError."""
    remove_abandoned(folder)
    with contextlib.ExitStack() as stack:
        with _writing(folder), platform.locked_file(os.path.join(folder, "lock")):
            work = os.path.join(folder, "work")
            os.makedirs(work, exist_ok=True)
            path = tempfile.mkdtemp(dir=work)
            stack.callback(shutil.rmtree, path, ignore_errors=True)
            stack.enter_context(platform.locked_file(os.path.join(path, "lock")))
        yield path


def remove_abandoned(folder: str) -> None:
    """Removes folders of work whose process has ended without doing so. Raises OutputError."""
    if not os.path.isdir(os.path.join(folder, "work")):
        return
    with (
        _writing(folder),
        platform.locked_file(os.path.join(folder, "lock")),
        os.scandir(os.path.join(folder, "work")) as entries,
    ):
        for entry in entries:
            with contextlib.suppress(OSError), platform.locked_file(os.path.join(entry.path, "lock"), wait=False):
                shutil.rmtree(entry.path, ignore_errors=True)


def default_folder() -> str:
    """The cache's folder where none is named: `neuralvdb` in the user's folder of caches."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(caches, "neuralvdb")


@contextlib.contextmanager
def _writing(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: the cache cannot be written: {error.strerror}; see --cache"
        ) from error
