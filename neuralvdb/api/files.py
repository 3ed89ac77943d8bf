"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from neuralvdb.errors import OutputError, OutputExists
from neuralvdb.platform import share_file


@contextlib.contextmanager
def new_file(target: Path, *, force: bool) -> Iterator[str]:
    """Gives a temporary name beside `target`; what was written there becomes `target` when the block ends well.

    After an error or an interrupt nothing is left. Raises OutputExists, without `force`, where something
    has that name already, and OutputError where the folder cannot be written to.
    """
    _check_free(target, force)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        share_file(handle)
        os.close(handle)
        yield temporary
        _check_free(target, force)
        _publish(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _check_free(target: Path, force: bool) -> None:
    if target.is_dir():
        raise OutputExists(f"{target}: is a folder; give another name")
    if not force and target.exists():
        raise OutputExists(f"{target}: exists already; use --force to overwrite it")


def _publish(temporary: str, target: Path) -> None:
    try:
        for path in (temporary, target.parent):  # the bytes first, then the name
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            if path == temporary:
                os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror}") from error
