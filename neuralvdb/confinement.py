"""Takes rights from this process that its work does not need, so that what a hostile file makes of it can do little.

Linux only, without a library: three system calls of landlock (kernel 5.13), and a filter of system calls (seccomp).
Elsewhere, or where the kernel lacks one, less is taken. docs.kernel.org/userspace-api/landlock.html and
seccomp_filter.html say what each number is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from neuralvdb.dataclass import dataclass

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # of prctl
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls of landlock, on every machine
_VERSION_ASKED, _BENEATH = 1, 1
_EXECUTE, _WRITE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_MAKE_AND_REMOVE = 0x1FF0  # bits 4 to 12: files, folders, links, devices, pipes, sockets
_MOVE = 1 << 13
_TCP = 0b11  # bind and connect
_SCOPES = 0b11  # abstract sockets of, and signals to, processes outside
_SOCKET = {"x86_64": 41, "aarch64": 198}  # number of the system call socket()
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_IO_URING_SETUP = 425  # could make sockets, too
_OTHER_NUMBERS = 1 << 30  # x86_64: set in those of another set of system calls
_LOCAL_SOCKETS = 1  # AF_UNIX
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # refuse: EACCES
_LOAD, _IF_EQUAL, _IF_LESS, _END = 0x20, 0x15, 0x35, 0x06  # instructions: load a word, jump, jump (>=), return


@dataclass(frozen=True)
class Confinement:
    """What is in force. files: nothing but named files can be written, no program started. network: no socket made."""

    files: bool
    network: bool


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def confine(writable: Sequence[str]) -> Confinement:
    """Leaves this thread, and those that it starts from now on, only the right to read, and to write files named.

    writable: files and folders, with all in them. No file elsewhere can then be made, changed, moved or removed, no
    program started, no socket but a local one made. Open files stay usable. There is no way back.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        return Confinement(files=False, network=False)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return Confinement(files=_confine_files(libc, writable), network=_refuse_sockets(libc))


def _confine_files(libc: ctypes.CDLL, writable: Sequence[str]) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_ASKED)
    if version < 1:
        return False
    rights = _WRITE | _MAKE_AND_REMOVE | _EXECUTE
    rights |= (_MOVE if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ruleset = _Ruleset(rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    if rules < 0:
        return False
    try:
        return all(_allow(libc, rules, path, rights) for path in writable) and (
            libc.syscall(_RESTRICT_SELF, rules, 0) == 0
        )
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> bool:
    """Adds that a file, or all in a folder, may be written."""
    handle = os.open(path, os.O_PATH)
    try:
        allowed = rights if os.path.isdir(path) else rights & (_WRITE | _TRUNCATE)
        rule = _Beneath(allowed, handle)
        return bool(libc.syscall(_ADD_RULE, rules, _BENEATH, ctypes.byref(rule), 0) == 0)
    finally:
        os.close(handle)


def _refuse_sockets(libc: ctypes.CDLL) -> bool:
    machine = os.uname().machine
    if machine not in _SOCKET:
        return False
    lines = [
        (_LOAD, 0, 0, 4),  # architecture
        (_IF_EQUAL, 0, 7, _ARCHITECTURE[machine]),  # else refuse
        (_LOAD, 0, 0, 0),  # number of the system call
        (_IF_LESS, 5, 0, _OTHER_NUMBERS),
        (_IF_EQUAL, 4, 0, _IO_URING_SETUP),
        (_IF_EQUAL, 0, 2, _SOCKET[machine]),
        (_LOAD, 0, 0, 16),  # its first argument: the family of the socket
        (_IF_EQUAL, 0, 1, _LOCAL_SOCKETS),
        (_END, 0, 0, _ALLOW),
        (_END, 0, 0, _REFUSE),
    ]
    program = _Program(len(lines), (_Instruction * len(lines))(*(_Instruction(*line) for line in lines)))
    return bool(libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)
