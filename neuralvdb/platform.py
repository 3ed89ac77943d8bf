"""Everything that depends on the operating system."""

from __future__ import annotations

import ctypes
import os


def return_memory() -> None:
    """Gives freed memory back to the system, so that the next large arrays do not come on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
