"""Numbers of frames: whole ones, below 0 too, and subframes such as 1001.25, exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

FrameNumber = int | Decimal
"""A Decimal where it is no whole number."""
MAX_DIGITS = 32  # characters of a number

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_LAST = re.compile(r"(?:(?:^|(?<=[._]))(-))?((?:(?<![A-Za-z\d])\d+\.)?)(\d+)\D*$", re.ASCII)


def number_of(text: str) -> FrameNumber:
    """The number that a text is, whatever zeros it has. Raises ValueError where it is none."""
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text}' is no number of a frame")
    if "." not in text:
        return int(text)
    number = Decimal(text)
    return int(number) if number == int(number) else Decimal(text.rstrip("0"))


def text_of(number: FrameNumber) -> str:
    """The one text of a number: `57`, `-3`, `1001.25`."""
    return str(number) if isinstance(number, int) else f"{number:f}"


def padded(number: FrameNumber, digits: int) -> str:
    """The text of a number without its sign, with so many digits before the point at least."""
    whole, point, fraction = text_of(number).lstrip("-").partition(".")
    return whole.zfill(digits) + point + fraction


def number_in(stem: str) -> FrameNumber | None:
    """The last number in a name without its suffix, None where there is none: 57 of `smoke_v2.0057`.

    `1001.25` is one number where its first half has more digits than its second one and stands for itself.
    """
    match = _LAST.search(stem)
    if match is None:
        return None
    sign, whole, last = match[1] or "", match[2], match[3]
    subframe = len(whole) > len(last) + 1
    try:
        return number_of(f"{sign}{whole}{last}" if subframe else f"{sign * (not whole)}{last}")
    except ValueError:
        return None


def ranges_text(numbers: Sequence[FrameNumber]) -> str:
    """Numbers in order as ranges: `1-7, 9-100`, `1-99x2`."""
    words, at = [], 0
    while at < len(numbers):
        end = _end_of_range(numbers, at)
        first, last = text_of(numbers[at]), text_of(numbers[end])
        step = numbers[at + 1] - numbers[at] if end > at else 1
        words.append(first if end == at else f"{first}-{last}" + f"x{text_of(step)}" * (step != 1))
        at = end + 1
    return ", ".join(words)


def _end_of_range(numbers: Sequence[FrameNumber], at: int) -> int:
    """Where the range of equal steps ends that begins at `at`; two numbers are one only where they are neighbours."""
    end = at + 1
    while end < len(numbers) and numbers[end] - numbers[end - 1] == numbers[at + 1] - numbers[at]:
        end += 1
    return end - 1 if end - at > 2 or (end - at == 2 and numbers[at + 1] - numbers[at] == 1) else at
