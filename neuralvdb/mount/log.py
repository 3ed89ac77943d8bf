"""The log of a mount: one line for each event."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from neuralvdb.errors import OutputError


class Log:
    """A file to which lines are added, or stderr where there is none. Raises OutputError."""

    def __init__(self, path: str | None) -> None:
        self._lock = threading.Lock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._handle = os.dup(sys.stderr.fileno()) if path is None else os.open(path, flags, 0o666)
        except OSError as error:
            raise OutputError(f"{path}: the log cannot be written: {error.strerror}") from error

    def write(self, text: str) -> None:
        """Adds a line; where that is not possible, it is lost."""
        line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        with self._lock, contextlib.suppress(OSError):
            os.write(self._handle, f"{moment} nvdb mount: {line}\n".encode("utf-8", "backslashreplace"))
