"""Folders that a command makes for what it writes; those that stay empty are gone when it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_made: list[str] = []  # by the block of without_empty_folders(), in this order


def make_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder, and those that it is in, where they are not there. Raises OSError."""
    missing = []
    folder = os.path.abspath(path)
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    os.makedirs(path, exist_ok=True)
    _made.extend(reversed(missing))


def keep_folders() -> None:
    """Lets those stay that were made so far."""
    _made.clear()


@contextlib.contextmanager
def without_empty_folders() -> Iterator[None]:
    """Of the folders that the block makes, those that are empty at its end are removed."""
    _made.clear()
    try:
        yield
    finally:
        for folder in reversed(_made):
            with contextlib.suppress(OSError):  # something is in it
                os.rmdir(folder)
