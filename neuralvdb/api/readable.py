"""Whether a file can be read at all, known without what reads it."""

from __future__ import annotations

import os

from neuralvdb.errors import unreadable
from neuralvdb.platform import open_ordinary


def check_readable(path: str | os.PathLike[str]) -> None:
    """Raises InputError where a file cannot be opened or is no ordinary one. Nothing of it is read."""
    try:
        open_ordinary(path).close()
    except OSError as error:
        raise unreadable(path, error) from error
