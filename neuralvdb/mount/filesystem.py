"""The operations of a read-only file system that shows archives as .vdb files, as mfusepy calls them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Protocol

from neuralvdb.errors import NeuralVdbError, Stopped
from neuralvdb.mount.frames import Frames, KnownFailure
from neuralvdb.mount.log import Log
from neuralvdb.mount.tree import FrameFile, Node, Original, Tree
from neuralvdb.platform import read_handle_at
from neuralvdb.settings import MountSettings

_BLOCK = 512  # bytes, in which stat counts
_READABLE = 0o444
_ASK_BEFORE_READ = 1 << 12  # FUSE_CAP_AUTO_INVAL_DATA


class OpenFile(Protocol):
    """libfuse's fuse_file_info."""

    fh: int
    keep_cache: int


class Connection(Protocol):
    """libfuse's fuse_conn_info."""

    want: int


class FileSystem:
    """What is shown of a source. Its methods are called by threads of libfuse; what they raise but OSError is a bug.

    ready: is called when the file system is mounted. leave: ends libfuse's loop; it is called within an operation.
    """

    use_ns = True  # times are whole nanoseconds

    def __init__(self, source: str, frames: Frames, settings: MountSettings, log: Log) -> None:
        self._source, self._frames, self._settings, self._log = source, frames, settings, log
        self._tree = Tree(source, frames.shot)
        self._keys: dict[str, str] = {}  # by path: of what was opened last
        self.ready: Callable[[], None] = _nothing
        self.leave: Callable[[], None] | None = None

    def init_with_config(self, connection: Connection | None, _: object) -> None:
        """The file system is mounted. The kernel need not ask for attributes before each read: those that begin or end
        behind a file's end ask, and to open a file that has changed drops what was read of it."""
        if connection is not None:
            connection.want &= ~_ASK_BEFORE_READ
        if self.leave is not None:  # a signal came before
            self.leave()
        self.ready()

    def getattr(self, path: str, file: OpenFile | None = None) -> dict[str, int]:
        """The attributes of a name, or of what is open."""
        with self._errors():
            node = self._tree.find(path)
            if isinstance(node, Original) and not self._tree.is_folder(node):
                state = os.lstat(node.path)
                return _attributes(state, state.st_mode & ~0o222, state.st_size)
            state = os.stat(node.frame.path if isinstance(node, FrameFile) else node.path)
            readable = state.st_mode & _READABLE
            if not isinstance(node, FrameFile):
                return _attributes(state, stat.S_IFDIR | readable | readable >> 2, 0)
            exact = self._settings.sizes == "exact"
            size = self._frames.size(node.frame, exact=exact) if file is None else os.fstat(file.fh).st_size
            return _attributes(state, stat.S_IFREG | readable, size)

    def readdir(self, path: str, _: int) -> Iterator[str]:
        """The names in a folder."""
        with self._errors():
            return iter([".", "..", *self._tree.names(self._tree.find(path))])

    def readlink(self, path: str) -> str:
        """Where a link leads."""
        with self._errors():
            return os.readlink(self._original(path))

    def open(self, path: str, file: OpenFile) -> int:
        """Opens a file; a frame is decoded where it is not in the cache."""
        with self._errors():
            node = self._tree.find(path)
            if isinstance(node, FrameFile):
                file.fh, key = self._frames.open(node.frame)
                file.keep_cache = int(self._keys.get(path) == key)  # else the kernel forgets what it has read
                self._keys[path] = key
                self._frames.opened(node.frame, self._tree.next_to)
            else:
                file.fh = os.open(self._original(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        return 0

    def read(self, _: str, size: int, offset: int, file: OpenFile) -> bytes:
        """Bytes of an open file."""
        return read_handle_at(file.fh, offset, size)

    def release(self, _: str, file: OpenFile) -> int:
        """Closes a file."""
        os.close(file.fh)
        return 0

    def statfs(self, _: str) -> dict[str, int]:
        """How large the file system of the source is, on which nothing is free."""
        state = os.statvfs(self._source)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_files", "f_namemax")
        return {name: getattr(state, name) for name in names}

    def _original(self, path: str) -> str:
        node: Node = self._tree.find(path)
        if not isinstance(node, Original):
            raise OSError(errno.EINVAL, path)
        return node.path

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the block as the system has them. What is wrong with a file is one line in the log, once."""
        if self.leave is not None:
            self.leave()
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        try:
            yield
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, str(error)) from error
        except (KnownFailure, Stopped) as error:
            raise OSError(errno.EIO, str(error)) from error
        except NeuralVdbError as error:
            self._log.write(str(error))
            raise OSError(errno.EIO, str(error)) from error
        except OSError:
            raise
        except Exception as error:
            self._log.write(f"internal error, please report it: {type(error).__name__}: {error}")
            raise OSError(errno.EIO, str(error)) from error


def _attributes(state: os.stat_result, mode: int, size: int) -> dict[str, int]:
    return {
        "st_mode": mode,
        "st_size": size,
        "st_blocks": -(-size // _BLOCK),
        "st_nlink": 1,
        "st_uid": state.st_uid,
        "st_gid": state.st_gid,
        "st_atime": state.st_atime_ns,
        "st_mtime": state.st_mtime_ns,
        "st_ctime": state.st_ctime_ns,
    }


def _nothing() -> None:
    """Does nothing."""
