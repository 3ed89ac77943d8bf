"""Names of many frames: `smoke.####.vdb`, `smoke.%04d.vdb`, `smoke.$F4.vdb`, `smoke.<frame>.vdb`, `smoke.1-9#.vdb`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from neuralvdb.errors import InputError, UsageError

_TOKEN = re.compile(r"#+|@+|%\d*d|\$F\d*|<frame>", re.IGNORECASE)


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
    pattern that nothing matches, UsageError for a range that is none.
    """
    if Path(name).exists() or not is_pattern(name):
        return [Input(name)]
    import fileseq

    sequence = _sequence(name)
    if frames is not None:
        try:
            sequence.setFrameSet(fileseq.FrameSet(frames))
        except fileseq.FileSeqException as error:
            raise UsageError(f"--frames {frames}: no range of frames such as 1-10 or 1-100x5") from error
    elif sequence.frameSet() is None:
        try:
            sequence = fileseq.findSequenceOnDisk(str(sequence), strictPadding=False)
        except fileseq.FileSeqException as error:
            raise InputError(f"{name}: no file matches this pattern; check name and padding") from error
    return [Input(sequence.frame(number), number) for number in sequence.frameSet()]


def name_for(pattern: str, frame: int) -> str:
    """The name that a pattern gives to a frame."""
    return _sequence(pattern).frame(frame)


def _sequence(name: str):
    import fileseq  # slow to import, and few names are patterns

    return fileseq.FileSequence(re.sub("<frame>", "@", name, flags=re.IGNORECASE), allow_subframes=False)
