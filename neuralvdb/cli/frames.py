"""Names of many files: `smoke.####.vdb`, `smoke.%04d.vdb`, `smoke.$F4.vdb`, `smoke.<frame>.vdb`, `s.1-9#.vdb`, folders,
archives of many frames.

Only the last part of a path is a pattern, whatever its folders are called. The numbers of a range are fileseq's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, UsageError, unreadable
from neuralvdb.file_kinds import MANY_FRAMES
from neuralvdb.frame_number import MAX_DIGITS, FrameNumber, number_in, number_of, padded, text_of
from neuralvdb.platform import open_ordinary

_TOKEN = re.compile(r"#+|@+|%\d*d|\$F\d*(?![A-Za-z\d])|\$\{F\d*\}|<f\d*>|<(?i:frame)>")
_RANGE_BEFORE = re.compile(r"(?:^|(?<=[._]))-?\d+-[-\d,:xy]*$|(?:^|(?<=[._]))-?\d+,[-\d,:xy]*$")
_SUBFRAME = re.compile(r"-?\d+\.\d+", re.ASCII)
_RANGE = re.compile(r"-?\d+(?:--?\d+(?:[xy:]-?\d+)?)?", re.ASCII)


@dataclass(frozen=True)
class Input:
    """A file to work on, and its frame number if a pattern named it; or a frame of an archive of many.

    within: of such a frame, the name of its .vdb file; empty for files.
    size: of such a frame, its bytes. group: of such a frame, what those have that may be decoded from each other.
    """

    path: str
    frame: FrameNumber | None = None
    within: str = ""
    size: int | None = None
    group: str = ""

    @property
    def selects(self) -> FrameNumber | None:
        """The frame to read of the file; None where it is none of many."""
        return self.frame if self.within else None

    @property
    def json(self) -> dict[str, object]:
        """What results say of the frame beside the file."""
        return {"frame": text_of(self.frame) if self.within and self.frame is not None else None}

    @property
    def words(self) -> str:
        """What people hear of it."""
        return f"{self.path} frame {self.json['frame']}" if self.within else self.path

    @property
    def name(self) -> str:
        """The path that the frame has, or would have as a file beside its archive."""
        return os.path.join(os.path.dirname(self.path), self.within) if self.within else self.path


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which of the files that a name stands for are meant."""

    suffixes: tuple[str, ...]
    """Of a folder, the files whose names end so."""
    frames: str | None = None
    """Of a pattern or folder, a range like `1-10` or `1-100x5`; None for all on disk."""
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

    def name(self, frame: FrameNumber) -> str:
        """The path of a frame."""
        number = "-" * (frame < 0) + padded(frame, self.digits - (self.printf and frame < 0))
        return os.path.join(self.folder, f"{self.prefix}{number}{self.suffix}")

    def on_disk(self) -> dict[FrameNumber, list[str]]:
        """Paths of the files that there are, by frame in order: those of this padding, or of any where there are none.

        Raises OSError where the folder cannot be listed.
        """
        whole = re.compile(re.escape(self.prefix) + r"(-?)(\d+)((?:\.\d+)?)" + re.escape(self.suffix), re.ASCII)
        names = [match for match in map(whole.fullmatch, os.listdir(self.folder or ".")) if match and _is_frame(match)]
        fitting = [match for match in names if self.any_padding or self._fits(match[1], match[2])]
        files: dict[FrameNumber, list[str]] = {}
        for match in fitting or names:
            files.setdefault(number_of("".join(match.groups())), []).append(os.path.join(self.folder, match[0]))
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
    if os.path.isdir(name):
        return _in_folder(name, wanted)
    if wanted.frames is None and os.path.lexists(name):
        return [Input(name)]
    pattern = pattern_of(name)
    if pattern is None:
        if wanted.frames is not None and not has_frames(name):
            raise UsageError(f"--frames {wanted.frames}: {name} is no pattern such as smoke.####.vdb")
        return [Input(name)]
    if wanted.frames is not None:
        return _of_range(pattern, numbers_of(wanted.frames, f"--frames '{wanted.frames}'"), name, wanted)
    if pattern.frames:
        return _of_range(pattern, numbers_of(pattern.frames, f"{name}: '{pattern.frames}'"), name, wanted)
    return _all_on_disk(pattern, name)


def _in_folder(name: str, wanted: Wanted) -> list[Input]:
    """Files of a folder, not of those in it, whose names end so and are not hidden; numbers in names count as such."""
    try:
        files = [file for file in os.listdir(name) if file.endswith(wanted.suffixes) and not file.startswith(".")]
    except OSError as error:
        raise unreadable(name, error) from error
    if not files:
        raise InputError(f"{name}: this folder holds no {' or '.join(wanted.suffixes)} file")
    paths = [os.path.join(name, file) for file in sorted(files, key=natural_order)]
    return [Input(path) for path in paths] if wanted.frames is None else _of_numbers(paths, name, wanted)


def _of_numbers(paths: list[str], name: str, wanted: Wanted) -> list[Input]:
    """The files of a folder whose names have the numbers that are wanted, and archives that may hold such frames.

    Raises InputError where one is missing that may not be left out.
    """
    numbers = numbers_of(wanted.frames or "", f"--frames '{wanted.frames}'")
    archives = [path for path in paths if has_frames(path)]
    files: dict[FrameNumber | None, list[str]] = {}
    for path in paths:
        files.setdefault(None if path in archives else number_in(Path(path).stem), []).append(path)
    missing = [number for number in numbers if number not in files]
    if missing and not archives and not wanted.skip_missing:
        what = f"this folder holds no file of frame {text_of(missing[0])}"
        raise InputError(f"{name}: {what}; leave it out with --missing skip")
    return [Input(path) for path in archives] + [Input(path, n) for n in numbers for path in files.get(n, [])]


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


def _of_range(pattern: Pattern, numbers: list[FrameNumber], name: str, wanted: Wanted) -> list[Input]:
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


def _is_frame(match: re.Match[str]) -> bool:
    """Whether what stands for the frame is one: of `0100.0057` nobody knows which half is."""
    return not match[3] or (len(match[2]) > len(match[3]) - 1 and sum(map(len, match.groups())) <= MAX_DIGITS)


def has_frames(path: str) -> bool:
    """Whether a file begins like an archive of many frames. Nothing more of it is read."""
    try:
        with open_ordinary(path) as file:
            return file.read(len(MANY_FRAMES)) == MANY_FRAMES
    except OSError:  # who reads all of it will say why
        return False


def numbers_of(frames: str, where: str) -> list[FrameNumber]:
    """The numbers of a range such as `1-10`, `1-100x5`, or `1-100:5` as Open Job Description writes it, or of
    subframes. Raises UsageError, beginning with `where`, where it is none."""
    items = frames.split(",")
    if "." not in frames:
        return list(_whole_numbers(frames, where))
    if any("." in item and not _SUBFRAME.fullmatch(item) for item in items):
        raise UsageError(f"{where}: frames of a range are whole numbers; give subframes one by one, such as 1001.25")
    try:
        numbers = [[number_of(item)] if "." in item else _whole_numbers(item, where) for item in items]
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    return list(dict.fromkeys(number for some_numbers in numbers for number in some_numbers))


def _whole_numbers(frames: str, where: str) -> list[int]:
    from fileseq.exceptions import FileSeqException  # slow to import, and few names are patterns
    from fileseq.frameset import FrameSet

    if not all(_RANGE.fullmatch(item) for item in frames.split(",")):
        raise UsageError(f"{where}: no range of frames such as 1-10 or 1-100x5")
    try:
        return [int(number) for number in FrameSet(frames.replace(":", "x"))]
    except FileSeqException as error:
        raise UsageError(f"{where}: no range of frames such as 1-10 or 1-100x5") from error
