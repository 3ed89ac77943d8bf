"""Names of many files: `smoke.####.vdb`, `smoke.%04d.vdb`, `smoke.$F4.vdb`, `smoke.<frame>.vdb`, `s.1-9#.vdb`, folders.

Only the last part of a path is a pattern, whatever its folders are called. The numbers of a range are fileseq's.
"""

from __future__ import annotations

import os
import re

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, UsageError, unreadable

_TOKEN = re.compile(r"#+|@+|%\d*d|\$F\d*(?![A-Za-z\d])|\$\{F\d*\}|<f\d*>|<(?i:frame)>")
_RANGE_BEFORE = re.compile(r"(?:^|(?<=[._]))-?\d+-[-\d,:xy]*$|(?:^|(?<=[._]))-?\d+,[-\d,:xy]*$")
_RANGE = re.compile(r"-?\d+(?:--?\d+(?:[xy:]-?\d+)?)?", re.ASCII)


@dataclass(frozen=True)
class Input:
    """A file to work on, and its frame number if a pattern named it."""

    path: str
    frame: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which of the files that a name stands for are meant."""

    suffixes: tuple[str, ...]
    """Of a folder, the files whose names end so."""
    frames: str | None = None
    """Of a pattern, a range like `1-10` or `1-100x5`; None for all on disk."""
    skip_missing: bool = False
    """Frames of a range that are not on disk are left out; else they stand for the files that should be there."""


@dataclass(frozen=True)
class Pattern:
    """A name that stands for many frames.

    folder: as it was given.
    prefix, suffix: what the files' names have before and behind the number.
    digits: of a number at least.
    any_padding: numbers may have any digits.
    printf: a minus counts as one of the digits.
    frames: a range within the name; empty for none.
    weak: might as well be an ordinary name, such as `small@2x.vdb`.
    """

    folder: str
    prefix: str
    suffix: str
    digits: int
    any_padding: bool = False
    printf: bool = False
    frames: str = ""
    weak: bool = False

    def name(self, frame: int) -> str:
        """The path of a frame."""
        digits = self.digits - (self.printf and frame < 0)
        number = "-" * (frame < 0) + str(abs(frame)).zfill(digits)
        return os.path.join(self.folder, f"{self.prefix}{number}{self.suffix}")

    def on_disk(self) -> dict[int, list[str]]:
        """Paths of the files that there are, by frame in order: those of this padding, or of any where there are none.

        Raises OSError where the folder cannot be listed.
        """
        whole = re.compile(re.escape(self.prefix) + r"(-?)(\d+)" + re.escape(self.suffix), re.ASCII)
        names = [match for match in map(whole.fullmatch, os.listdir(self.folder or ".")) if match]
        padded = [match for match in names if self.any_padding or self._fits(match[1], match[2])]
        files: dict[int, list[str]] = {}
        for match in padded or names:
            files.setdefault(int(match[1] + match[2]), []).append(os.path.join(self.folder, match[0]))
        return {frame: sorted(files[frame]) for frame in sorted(files)}

    def _fits(self, sign: str, digits: str) -> bool:
        """Whether a number on disk has this padding; numbers below 0 have it with and without their minus."""
        widths = (self.digits, max(self.digits - 1, 1)) if sign else (self.digits,)
        return len(digits) in widths or (len(digits) > self.digits and digits[0] != "0")


def pattern_of(name: str) -> Pattern | None:
    """The pattern that a name is, None if it is none. Raises UsageError where it says the frame twice."""
    folder, file = os.path.split(name)
    matches = list(_TOKEN.finditer(file))
    matches = [match for match in matches if not _is_weak(match)] or matches
    if not matches:
        return None
    if len(matches) > 1:
        raise UsageError(f"{name}: {' and '.join(match[0] for match in matches)} both stand for the frame; leave one")
    token, prefix = matches[0][0], file[: matches[0].start()]
    numbers = _RANGE_BEFORE.search(prefix)
    return Pattern(
        folder=folder,
        prefix=prefix[: numbers.start()] if numbers else prefix,
        suffix=file[matches[0].end() :],
        digits=_digits(token),
        any_padding=token.lower() == "<frame>",
        printf=token[0] in "%$",
        frames=numbers[0] if numbers else "",
        weak=_is_weak(matches[0]),
    )


def expand(name: str, wanted: Wanted) -> list[Input]:
    """The files that `name` stands for, in order of their frames; an existing file stands for itself.

    Raises InputError for a folder or pattern without files and for an empty name, UsageError for a range that is none
    or a name without frames.
    """
    if not name:
        raise InputError("'': cannot be read: names no file")
    if wanted.frames is None and os.path.isdir(name):
        return _in_folder(name, wanted.suffixes)
    if wanted.frames is None and os.path.lexists(name):
        return [Input(name)]
    pattern = pattern_of(name)
    if pattern is None:
        if wanted.frames is not None:
            raise UsageError(f"--frames {wanted.frames}: {name} is no pattern such as smoke.####.vdb")
        return [Input(name)]
    if wanted.frames is not None:
        return _of_range(pattern, _numbers(wanted.frames, f"--frames '{wanted.frames}'"), name, wanted)
    if pattern.frames:
        return _of_range(pattern, _numbers(pattern.frames, f"{name}: '{pattern.frames}'"), name, wanted)
    return _all_on_disk(pattern, name)


def _in_folder(name: str, suffixes: tuple[str, ...]) -> list[Input]:
    """Files of a folder, not of those in it, whose names end so and are not hidden; numbers in names count as such."""
    try:
        files = [file for file in os.listdir(name) if file.endswith(suffixes) and not file.startswith(".")]
    except OSError as error:
        raise unreadable(name, error) from error
    if not files:
        raise InputError(f"{name}: this folder holds no {' or '.join(suffixes)} file")
    return [Input(os.path.join(name, file)) for file in sorted(files, key=natural_order)]


def natural_order(name: str) -> list[tuple[str, int]]:
    """What names are sorted by, so that `a9` comes before `a10`."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name, re.ASCII)]


def _all_on_disk(pattern: Pattern, name: str) -> list[Input]:
    try:
        files = pattern.on_disk()
    except FileNotFoundError:
        files = {}
    except OSError as error:
        raise unreadable(name, error) from error
    if not files and pattern.weak:
        return [Input(name)]
    if not files:
        raise _no_match(name)
    return [Input(path, frame) for frame, paths in files.items() for path in paths]


def _of_range(pattern: Pattern, numbers: list[int], name: str, wanted: Wanted) -> list[Input]:
    """Files of these frames. One without a file gets the name that it should have, or is left out if that is wanted."""
    try:
        files = pattern.on_disk()
    except OSError:  # a folder may be closed to those who list it, and open to those who know names
        files = {}
    if wanted.skip_missing:
        if not files:
            raise _no_match(name)
        numbers = [number for number in numbers if number in files]
    return [Input(path, number) for number in numbers for path in files.get(number) or [pattern.name(number)]]


def _no_match(name: str) -> InputError:
    return InputError(f"{name}: no file matches this pattern; check name and padding")


def _is_weak(match: re.Match[str]) -> bool:
    """Whether a token may be a part of an ordinary name: one sign that a letter or digit follows, as in `small@2x`."""
    return match[0] in "#@" and match.string[match.end() : match.end() + 1].isalnum()


def _digits(token: str) -> int:
    """The digits that a token asks for: one for each #, four for a # alone, none for <frame>."""
    if token == "#":
        return 4
    if token[0] in "#@":
        return len(token)
    return int(re.sub(r"\D", "", token) or 1)


def _numbers(frames: str, where: str) -> list[int]:
    """The numbers of a range such as `1-10`, `1-100x5`, or `1-100:5` as Open Job Description writes it."""
    from fileseq.exceptions import FileSeqException  # slow to import, and few names are patterns
    from fileseq.frameset import FrameSet

    if "." in frames:
        raise UsageError(f"{where}: frames are whole numbers; there are no subframes such as 1.5 or steps such as x0.5")
    if not all(_RANGE.fullmatch(item) for item in frames.split(",")):
        raise UsageError(f"{where}: no range of frames such as 1-10 or 1-100x5")
    try:
        return [int(number) for number in FrameSet(frames.replace(":", "x"))]
    except FileSeqException as error:
        raise UsageError(f"{where}: no range of frames such as 1-10 or 1-100x5") from error
