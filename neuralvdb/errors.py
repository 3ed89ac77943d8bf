"""Every error this package raises on purpose, each with the exit code of `nvdb`.

NeuralVdbError              1   base; by itself only for what should never happen
├── UsageError              2   arguments make no sense, alone or together; also a ValueError
├── InputError              3   a file is missing or cannot be read
├── DamagedFile             4   bytes break their format: truncated, flipped, not a VDB at all
├── Unsupported             5   valid, but unknown to this version: newer archive, unknown grid type, missing library
├── OutputExists            6   something is at the output's name and --force was not given
├── OutputError             7   writing failed: disk full, no permission
├── PromiseBroken           8   decoded data is not what the archive promises; nothing was kept
├── OutOfMemory             9   more memory is needed than there is, or than such a file can need
├── NoSuchGrid             11   a grid asked for by name is not in the file
├── MissingPriors          12   an archive needs priors that are neither in it nor in --priors
├── NoSuchDevice           13   a GPU asked for is not there or cannot be used
└── Stopped               130   a signal or a limit of CPU time ended the work

`nvdb` also ends with 0 (done), 10 (`diff` and `verify` found differences) and
130 (interrupted).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


class NeuralVdbError(Exception):
    """Base of all errors; `str(error)` is one line that says what, where and what to do."""

    exit_code = 1


class UsageError(NeuralVdbError, ValueError):
    """Arguments that make no sense."""

    exit_code = 2


class InputError(NeuralVdbError):
    """A file is missing or cannot be read."""

    exit_code = 3


class DamagedFile(NeuralVdbError):
    """The bytes of a file break its format."""

    exit_code = 4


class Unsupported(NeuralVdbError):
    """A valid file needs something that this version does not have, or the work a library that is not installed."""

    exit_code = 5


class OutputExists(NeuralVdbError):
    """The output's name is taken."""

    exit_code = 6


class OutputError(NeuralVdbError):
    """The output cannot be written."""

    exit_code = 7


class PromiseBroken(NeuralVdbError):
    """Decoded data differs from what the archive promises."""

    exit_code = 8


class OutOfMemory(NeuralVdbError):
    """Not enough memory."""

    exit_code = 9


class NoSuchGrid(NeuralVdbError):
    """A grid named by the user is not in the file."""

    exit_code = 11


class MissingPriors(NeuralVdbError):
    """An archive needs priors that were not given."""

    exit_code = 12


class NoSuchDevice(NeuralVdbError):
    """A GPU asked for is not there or cannot be used."""

    exit_code = 13


class Stopped(NeuralVdbError):
    """Something outside ended the work; the file has no part in it."""

    exit_code = 130


DIFFERENT = 10
INTERRUPTED = Stopped.exit_code


def unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    """The error for a file that the system does not let us read."""
    return InputError(f"{os.fspath(path)}: cannot be read: {error.strerror}")


@contextlib.contextmanager
def naming(*names: str) -> Iterator[None]:
    """Makes errors about bytes begin with the name of what holds them, such as a file's, or of all that may hold them.

    What reads a piece of it, such as metadata, need not know the name.
    """
    try:
        yield
    except (DamagedFile, Unsupported) as error:
        if str(error).startswith(tuple(f"{name}: " for name in names)):
            raise
        raise type(error)(f"{' or '.join(names)}: {error}") from error
