"""Everything that only some operating systems have. Today that is Linux; to port the package is to port this module.

Its counterparts in C++: nets/native/simd.h for what only some compilers have, vdb/bridge/streams.cc for mapped files,
returnMemory() of vdb/bridge/module.cc for memory freed between grids.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_GPU_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


def available_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def physical_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def has_gpu_driver() -> bool:
    """Whether a driver of NVIDIA's GPUs is loaded; costs next to nothing."""
    return any(Path(path).exists() for path in _GPU_DRIVERS)


def data_in_use() -> int:
    """Bytes of data of this process, as limit_memory() counts them."""
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[5]) * resource.getpagesize()


def limit_memory(size: int) -> None:
    """Lets this process have at most `size` bytes of data; more is a MemoryError. Also turns core dumps off."""
    size = min(size, sys.maxsize)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def return_memory() -> None:
    """Gives freed memory back to the system, so that the next large arrays do not come on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)


def block_interrupts() -> set[signal.Signals]:
    """Holds SIGINT and SIGTERM back until restore_interrupts() gets the result."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)  # type: ignore[return-value]


def restore_interrupts(mask: set[signal.Signals]) -> None:
    """Undoes block_interrupts(); interrupts that came in between are raised now."""
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def fork_child() -> int:
    """Makes a copy of this process. Returns 0 in the copy, its number in this process."""
    return os.fork()


def wait_child(child: int) -> int:
    """The exit code of a child when it has ended; -n where signal n ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def end_child(child: int) -> None:
    """Ends a child and waits for it; nothing happens where it has ended already."""
    try:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Up to `size` bytes of a file from byte `offset`, fewer at its end. Threads may share the file. Raises OSError."""
    return os.pread(file.fileno(), size, offset)


def written_bytes(path: str) -> int:
    """Bytes of a file without its holes, which read as zeros and were never written. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for somebody to write to a pipe
    try:
        return sum(end - begin for begin, end in _written_parts(handle))
    finally:
        os.close(handle)


def _written_parts(handle: int) -> Iterator[tuple[int, int]]:
    """Where the parts between the holes of an open file begin and end; nothing of what is no regular file."""
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


def share_file(handle: int) -> None:
    """Gives an open temporary file, which only its owner may use, the permissions of any new file."""
    umask = os.umask(0o077)
    os.umask(umask)
    os.fchmod(handle, 0o666 & ~umask)
