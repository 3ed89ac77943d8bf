"""What a mount asks of the process that decodes for it, and what that asks of its workers.

A worker may have read a hostile file, so what it says is parsed by hand: a byte that says whether it went well, then
text. Between the other two processes objects travel.
"""

from __future__ import annotations

import json
import re

from neuralvdb import errors
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile, NeuralVdbError
from neuralvdb.frame_number import number_of
from neuralvdb.settings import VDB_SUFFIX

MOST_BYTES = 1 << 16  # of a worker's answer
MOST_LISTED = 1 << 28  # of a list of frames
_IDENTITY = re.compile(r"([0-9a-f]{32}) (\d{1,19}) (\d{1,19})", re.ASCII)
_DONE, _FAILED = b"\0", b"\1"


@dataclass(frozen=True)
class FrameName:
    """A frame of an archive. number: empty where the archive is one of one frame."""

    path: str
    number: str = ""


@dataclass(frozen=True)
class Listed:
    """A frame in a list. name: of its .vdb file."""

    number: str
    name: str


@dataclass(frozen=True)
class Identity:
    """key: of what the frame decodes to, the same wherever the same is stored. source_size: bytes of the file that
    it was made of. memory: bytes that its decoded grids take."""

    key: str
    source_size: int
    memory: int


@dataclass(frozen=True)
class ListFrames:
    """Asks for the frames of an archive of many: a tuple of Listed."""

    path: str
    state: tuple[int, int]
    """The file's, by which a changed one is told."""


@dataclass(frozen=True)
class Identify:
    """Asks for the Identity of a frame."""

    frame: FrameName
    state: tuple[int, int]

    @property
    def path(self) -> str:
        """The archive."""
        return self.frame.path


@dataclass(frozen=True)
class Decode:
    """Asks that a frame be decoded and kept under its key: the size of the file."""

    frame: FrameName
    state: tuple[int, int]
    identity: Identity

    @property
    def path(self) -> str:
        """The archive."""
        return self.frame.path


Request = ListFrames | Identify | Decode


def done(text: str = "") -> bytes:
    """A worker's answer where all went well."""
    return _DONE + text.encode("utf-8", "surrogateescape")


def failed(error: NeuralVdbError) -> bytes:
    """A worker's answer where an error was raised."""
    text = f"{type(error).__name__}\n{error}".encode("utf-8", "surrogateescape")
    return (_FAILED + text)[:MOST_BYTES]


def text_of_answer(answer: bytes) -> str:
    """What done() was given. Raises the error that failed() was given, DamagedFile where it is no answer."""
    text = answer[1:].decode("utf-8", "surrogateescape")
    if answer[:1] == _DONE:
        return text
    name, _, message = text.partition("\n")
    kind = getattr(errors, name, None)
    if answer[:1] != _FAILED or not isinstance(kind, type) or not issubclass(kind, NeuralVdbError):
        raise DamagedFile("the work on it gave no answer that makes sense; get another copy")
    raise kind(message)


def pack_list(frames: list[Listed]) -> bytes:
    """A list of frames in bytes."""
    return json.dumps([[frame.number, frame.name] for frame in frames]).encode()


def unpack_list(data: bytes, path: str) -> tuple[Listed, ...]:
    """What pack_list() was given. Raises DamagedFile where it is no list, or a name cannot be that of a file."""
    try:
        frames = tuple(Listed(number, name) for number, name in json.loads(data))
        for frame in frames:
            number_of(frame.number)
            if not _is_name(frame.name):
                raise ValueError(f"{frame.name!r} is no name")
        if len({frame.name for frame in frames}) != len(frames):
            raise ValueError("two frames have the same name")
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path}: its list of frames makes no sense ({error}); get another copy") from error
    return frames


def pack_identity(identity: Identity) -> str:
    """An identity as text."""
    return f"{identity.key} {identity.source_size} {identity.memory}"


def unpack_identity(text: str, path: str) -> Identity:
    """What pack_identity() was given. Raises DamagedFile."""
    match = _IDENTITY.fullmatch(text)
    if match is None:
        raise DamagedFile(f"{path}: the work on it gave no answer that makes sense; get another copy")
    return Identity(match[1], int(match[2]), int(match[3]))


def _is_name(name: object) -> bool:
    return (
        isinstance(name, str)
        and name.endswith(VDB_SUFFIX)
        and "/" not in name
        and "\0" not in name
        and not name.startswith(".")
    )
