"""Everything that only some operating systems have. Today that is Linux; to port the package is to port this module.

Its counterparts in C++: nets/native/simd.h for what only some compilers have, vdb/bridge/streams.cc for files that are
read and written, returnMemory() of vdb/bridge/module.cc for memory freed between grids.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from neuralvdb.dataclass import dataclass

BLAS = ("OPENBLAS", "MKL", "BLIS")
"""Those that NumPy may have. Each makes its threads as it is loaded, as many as its variable *_NUM_THREADS says."""
_GPU_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals by which people and machines stop a program."""
RETRY = signal.SIGALRM
"""The signal that brings back one of them that could not be heard."""
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""Signals that say that a program is wrong."""
_GROUPS = Path("/sys/fs/cgroup")  # where control groups are, of both versions
_GROUP_LIMITS = ("memory.max", "memory.limit_in_bytes")
_MUCH = 32 << 20  # bytes of freed memory that are worth giving back
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt()
_TICKS = 0.2  # seconds by which two counts of CPU time may differ
NO_FILE = "a pipe, device or socket; save what it gives in a file first"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_HERE, _NO_REPLACE = -100, 1  # of renameat2(): paths are relative to the current folder; fail where the target exists


def available_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def has_gpu_driver() -> bool:
    """Whether a driver of NVIDIA's GPUs is loaded; costs next to nothing."""
    return any(Path(path).exists() for path in _GPU_DRIVERS)


def usable_memory() -> int:
    """Bytes that this process may have at most: all memory of the machine, or less where a limit was set for it.

    Limits are those of its control group (cgroup, either version) and of the process (RLIMIT_DATA, RLIMIT_AS).
    """
    limits = [resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    limits = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min([physical_memory(), *limits, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Limits of memory of the control groups that this process is in, and of those around them."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        group = _GROUPS / kinds / path.lstrip("/")
        for folder in (group, *group.parents):
            for name in _GROUP_LIMITS:
                with contextlib.suppress(OSError, ValueError):  # "max" is no number
                    yield int((folder / name).read_text())
            if folder == _GROUPS:
                break


def data_in_use() -> int:
    """Bytes of data of this process, as limit_memory() counts them; a little more where /proc is not there."""
    try:
        with open("/proc/self/statm") as counts:
            return int(counts.read().split()[5]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def limit_memory(size: int) -> int:
    """Lets this process have at most `size` bytes of data, or usable_memory() if that is less; more is a MemoryError.

    Gives the limit that holds. Can be called again, for more or less. Also turns core dumps off.
    """
    size = min(size, usable_memory())
    resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return size


def memory_limit() -> int:
    """The limit that limit_memory() has set."""
    return resource.getrlimit(resource.RLIMIT_DATA)[0]


def limit_file_size(size: int) -> None:
    """Lets this process write no file of more bytes; more is an OSError."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def one_blas_thread() -> AbstractContextManager[object]:
    """A block in which NumPy's BLAS has one thread, as it has anyway where its variables said so at the start."""
    if all(os.environ.get(f"{name}_NUM_THREADS") == "1" for name in BLAS):
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def return_memory(freed: int = _MUCH) -> None:
    """Gives freed memory, about so many bytes, back to the system, so that the next large arrays do not come on top of
    it. A little is kept, since taking memory anew takes time."""
    if freed < _MUCH:
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Lets this process keep what it frees of arrays of up to 32 MB, 64 MB of it at the end of its memory, for the next
    ones; where grids are small, most pages would else be taken anew again and again."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2 * _MUCH)
        mallopt(_MMAP_THRESHOLD, _MUCH)


def block_interrupts() -> set[signal.Signals]:
    """Holds INTERRUPTS and RETRY back until restore_interrupts() gets the result."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, (*INTERRUPTS, RETRY))  # type: ignore[return-value]


def restore_interrupts(mask: set[signal.Signals]) -> None:
    """Undoes block_interrupts(); interrupts that came in between are raised now."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def wait_interrupt() -> None:
    """Waits for one of INTERRUPTS, which all threads hold back; not for those that this process was told to ignore."""
    signal.sigwait([number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN])


def notify_service(state: str) -> None:
    """Tells systemd, where that has started this process as a service and wants to know; see sd_notify(3)."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        import socket  # which takes time

        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), "\0" + name[1:] if name[0] == "@" else name)


def fork_child() -> int:
    """Makes a copy of this process, which the system kills when this process ends, however that comes about.

    Returns 0 in the copy, its number in this process. The copy leaves it to this process to hear interrupts, but for
    SIGTERM, which ends it.
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
        for interrupt in INTERRUPTS:
            signal.signal(interrupt, signal.SIG_DFL if interrupt == signal.SIGTERM else signal.SIG_IGN)
    return child


def fork_daemon() -> int:
    """Makes a copy of this process that goes on when this one has ended, with no terminal and no standard streams.

    Returns 0 in the copy, its number in this process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.close(null)
    return child


@dataclass(frozen=True)
class Mounted:
    """A file system that is mounted: the folder, the type of the file system, and what it was made of."""

    folder: str
    kind: str
    source: str


def mounts() -> Iterator[Mounted]:
    """All that is mounted; of several things on one folder the one that is seen comes last."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as table:
        for line in table:
            before, _, behind = line.partition(" - ")
            kind, source = behind.split(" ")[:2]
            yield Mounted(_without_octal(before.split(" ")[4]), kind, _without_octal(source))


def _without_octal(text: str) -> str:
    """The text with what stands for spaces and the like replaced by that."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: its exit code; -n where signal n ended it. out_of_time: at a limit of CPU time."""

    code: int
    out_of_time: bool


def wait_child(child: int) -> Ended:
    """How a child ended, when it has."""
    _, status, usage = os.wait4(child, 0)
    code, limit = os.waitstatus_to_exitcode(status), resource.getrlimit(resource.RLIMIT_CPU)[1]
    at_limit = limit != resource.RLIM_INFINITY and usage.ru_utime + usage.ru_stime >= limit - _TICKS
    return Ended(code, code == -signal.SIGXCPU or (code == -signal.SIGKILL and at_limit))


def end_child(child: int) -> None:
    """Kills a child, even a stopped one, and waits for its end; nothing happens where it has ended already."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def file_state(path: str) -> tuple[int, int] | None:
    """Size in bytes and time of change of a file, None where it is not there."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Up to `size` bytes of a file from byte `offset`, fewer at its end. Threads may share the file. Raises OSError."""
    return read_handle_at(file.fileno(), offset, size)


def read_handle_at(handle: int, offset: int, size: int) -> bytes:
    """The same of a descriptor."""
    return os.pread(handle, size, offset)


def written_bytes(path: str) -> int:
    """Bytes of a file without its holes, which read as zeros and were never written. Raises OSError."""
    with open_ordinary(path) as file:
        return sum(end - begin for begin, end in _written_parts(file.fileno()))


def _written_parts(handle: int) -> Iterator[tuple[int, int]]:
    """Where the parts between the holes of an open file begin and end."""
    size, end = os.fstat(handle).st_size, 0
    while end < size:
        try:
            begin = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # the rest is a hole
                return
            raise
        end = os.lseek(handle, begin, os.SEEK_HOLE)
        yield begin, end


def share_file(handle: int, old_mode: int | None) -> None:
    """Gives an open temporary file, which only its owner may use, permissions: those of the file that it will replace,
    whose mode is `old_mode`, or those of any new file."""
    umask = os.umask(0o077)
    os.umask(umask)
    os.fchmod(handle, 0o666 & ~umask if old_mode is None else old_mode & 0o777)


def open_ordinary(path: str | os.PathLike[str]) -> BinaryIO:
    """A file, for reading. Raises OSError, and waits for nothing, where it is a folder, pipe, device or socket."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, NO_FILE, os.fspath(path))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def open_no_link(path: str, flags: int) -> int:
    """A descriptor of the file at `path`, opened with these flags of os.open(); raises OSError where it is a link."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


@contextlib.contextmanager
def locked_file(path: str, *, wait: bool = True) -> Iterator[None]:
    """A block during which no other process is in one with the same file, which is made. Raises OSError, without
    `wait` BlockingIOError at once where one is."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def rename_new(source: str | Path, target: str | Path) -> None:
    """Renames a file. Raises FileExistsError, at once and for certain, where something is called `target` already."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # not in every C library
    if rename is not None:
        if rename(_HERE, os.fsencode(source), _HERE, os.fsencode(target), _NO_REPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), os.fspath(target))
    os.link(source, target)  # file systems that know no such renaming, NFS say, have links
    os.unlink(source)


def flush_folder(path: Path) -> None:
    """Brings names in a folder to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
