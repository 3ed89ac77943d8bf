"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from neuralvdb import platform
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, NeuralVdbError, OutputError, OutputExists

_MOST_BYTES = 200  # of a target's name within the temporary one, so that this is no longer than names may be


@dataclass(frozen=True)
class NewFile:
    """A file that is being written.

    target: its name for messages.
    temporary: its name until it is whole.
    """

    target: str
    temporary: str

    def open(self) -> BinaryIO:
        """The file, empty, for reading and writing; its `name` is the target's. Raises OutputError.

        A file or link that somebody put in its place is neither made nor followed.
        """
        try:
            return open(self.target, "r+b", opener=lambda _, flags: platform.open_no_link(self.temporary, flags))
        except OSError as error:
            raise _failed(self.target, error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """The file, as open() gives it, to write to within the block. Raises OutputError, for any OSError of the block
        too."""
        try:
            with self.open() as stream:
                yield stream
        except OSError as error:
            raise _failed(self.target, error) from error

    def size(self) -> int:
        """Bytes written so far. Raises OutputError."""
        try:
            return os.stat(self.temporary).st_size
        except OSError as error:
            raise _failed(self.target, error) from error

    def named(self, error: NeuralVdbError) -> NeuralVdbError:
        """The error, about the target where it is about the temporary file."""
        return _of_target(error, self) if self.temporary in str(error) else error


@contextlib.contextmanager
def new_file(target: Path, *, force: bool, sources: Sequence[str | os.PathLike[str]] = ()) -> Iterator[NewFile]:
    """Gives a temporary file beside `target`; what was written there becomes `target` when the block ends well.

    Where nothing was written, `target` stays as it is. A link is followed and stays. After an error or an interrupt
    nothing is left; errors that name the temporary file are raised as errors of the target. Raises OutputExists where
    something has that name already, with `force` only where it is no ordinary file or one of `sources`, and OutputError
    where the folder cannot be written to.
    """
    _check_no_source(target, sources)
    try:
        final = _final_path(target, force)
        handle, temporary = tempfile.mkstemp(prefix=_prefix(final.name), suffix=".part", dir=final.parent)
    except OSError as error:
        raise _failed(target, error) from error
    file = NewFile(os.fspath(target), temporary)
    try:
        os.close(handle)
        yield file
        try:
            if os.stat(temporary).st_size == 0:
                os.unlink(temporary)
            else:
                _publish(file, final, force)
        except OSError as error:
            raise _failed(target, error) from error
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, NeuralVdbError) and (named := file.named(error)) is not error:
            raise named from error
        raise


def _check_no_source(target: Path, sources: Sequence[str | os.PathLike[str]]) -> None:
    for source in sources:
        with contextlib.suppress(OSError, ValueError):  # other errors are found where the files are opened
            if os.path.samefile(source, target):
                raise OutputExists(f"{target}: is what is read, and would be lost; give another output")


def _final_path(target: Path, force: bool) -> Path:
    """Where the file will be: `target`, or where that links to. Raises OutputExists and OSError."""
    final = Path(os.path.realpath(target)) if target.is_symlink() else target
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        if final is not target and not force:
            raise OutputExists(
                f"{target}: is a link to {final}, which is not there; use --force to write that"
            ) from None
        return final
    if stat.S_ISDIR(mode):
        raise OutputExists(f"{target}: is a folder; give another name")
    if not stat.S_ISREG(mode):
        raise OutputExists(f"{target}: is a device, pipe or socket, which is never replaced; give another name")
    if not force:
        raise OutputExists(f"{target}: exists already; use --force to overwrite it")
    return final


def _prefix(name: str) -> str:
    """How the temporary name of a file called `name` begins."""
    return os.fsencode(f".{name}")[:_MOST_BYTES].decode("utf-8", "ignore") + "."


def _publish(file: NewFile, final: Path, force: bool) -> None:
    """Gives the file its name and the permissions of the one that it replaces. Raises OutputExists and OSError."""
    handle = platform.open_no_link(file.temporary, os.O_RDONLY)
    try:
        platform.share_file(handle, os.stat(final).st_mode if final.exists() else None)
        os.fsync(handle)  # the bytes first, then the name
    finally:
        os.close(handle)
    if force:
        os.replace(file.temporary, _final_path(final, force))
    else:
        try:
            platform.rename_new(file.temporary, final)
        except FileExistsError:
            raise OutputExists(f"{file.target}: exists already; use --force to overwrite it") from None
    with contextlib.suppress(OSError):  # the file is there; not all folders can be flushed
        platform.flush_folder(final.parent)


def _failed(target: str | Path, error: OSError) -> OutputError:
    return OutputError(f"{target}: cannot be written: {error.strerror}")


def _of_target(error: NeuralVdbError, file: NewFile) -> NeuralVdbError:
    """An error that names the temporary file as one that names the target."""
    text = str(error).replace(file.temporary, file.target)
    if isinstance(error, InputError):
        return OutputError(f"{text}, though it was written just now")
    return type(error)(text)
