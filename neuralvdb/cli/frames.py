"""Names of many frames: `smoke.####.vdb`, `smoke.%04d.vdb`, `smoke.$F4.vdb`, `smoke.<frame>.vdb`, `smoke.1-9#.vdb`."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.errors import InputError, UsageError

if TYPE_CHECKING:
    from fileseq.filesequence import FileSequence
    from fileseq.frameset import FrameSet

_TOKEN = re.compile(r"#+|@+|%\d*d|\$F\d*|<frame>", re.IGNORECASE)
_ANY = re.compile("<frame>", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """A file to work on, and its frame number if a pattern named it."""

    path: str
    frame: int | None = None


def is_pattern(name: str) -> bool:
    """Whether the name stands for many frames."""
    return _TOKEN.search(Path(name).name) is not None


def expand(name: str, frames: str | None) -> list[Input]:
    """The files that `name` stands for, in order of their frames; an existing file stands for itself.

    frames: a range like `1-10` or `1-100x5` instead of the frames found on disk. Raises InputError for a
    pattern that nothing matches, UsageError for a range that is none or a name without frames.
    """
    if Path(name).exists() or not is_pattern(name):
        if frames is not None:
            raise UsageError(f"--frames {frames}: {name} is no pattern such as smoke.####.vdb")
        return [Input(name)]
    sequence = _sequence(name)
    if sequence.frameSet() is None or _ANY.search(name):
        on_disk = _on_disk(name)
        if on_disk is None and frames is None:
            raise InputError(f"{name}: no file matches this pattern; check name and padding")
        sequence = on_disk or sequence
    if frames is not None:
        sequence.setFrameSet(_range(frames))
    return [Input(sequence.frame(number), int(number)) for number in sequence.frameSet() or ()]


def name_for(pattern: str, frame: int) -> str:
    """The name that a pattern gives to a frame."""
    return _sequence(pattern).frame(frame)


def _sequence(name: str) -> FileSequence:
    from fileseq.constants import PAD_STYLE_HASH1  # slow to import, and few names are patterns
    from fileseq.filesequence import FileSequence

    return FileSequence(_normal(name), pad_style=PAD_STYLE_HASH1, allow_subframes=False)


def _on_disk(name: str) -> FileSequence | None:
    """The files that exist, of exactly this padding if there are any."""
    from fileseq.constants import PAD_STYLE_HASH1
    from fileseq.exceptions import FileSeqException
    from fileseq.filesequence import FileSequence

    for strict in (True, False):
        with contextlib.suppress(FileSeqException):
            return FileSequence.findSequenceOnDisk(_normal(name), strictPadding=strict, pad_style=PAD_STYLE_HASH1)
    return None


def _normal(name: str) -> str:
    """The pattern as fileseq reads it: one digit for each #, four for a # alone, any number for <frame>."""
    file = _ANY.sub("@", Path(name).name)
    return str(Path(name).parent / re.sub("(?<!#)#(?!#)", "####", file))


def _range(frames: str) -> FrameSet:
    from fileseq.exceptions import FileSeqException
    from fileseq.frameset import FrameSet

    try:
        numbers = FrameSet(frames)
    except FileSeqException:
        numbers = FrameSet([])
    if not len(numbers):
        raise UsageError(f"--frames '{frames}': no range of frames such as 1-10 or 1-100x5")
    return numbers
