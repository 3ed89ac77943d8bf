"""Which file is compared with which: by frame, or by name where names are no frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralvdb.cli.frames import Input
from neuralvdb.cli.jobs import Failure, Report
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError
from neuralvdb.frame_number import FrameNumber


@dataclass(frozen=True)
class Pair:
    """An input and the one to compare it with, None for nothing."""

    first: Input
    second: Input | None


def pair_all(firsts: Sequence[Input], seconds: Sequence[Input], report: Report) -> list[Pair]:
    """Each input with its counterpart; `report` hears of those that have none. One is that of one other.

    Where not all have frames, frames of archives are known by the names of their files.
    """
    if len(firsts) == len(seconds) == 1:
        return [Pair(firsts[0], seconds[0])]
    by_frame = all(item.frame is not None for item in (*firsts, *seconds))
    counterparts = {_key(item, by_frame): item for item in seconds}
    pairs = []
    for item in firsts:
        counterpart = counterparts.pop(_key(item, by_frame), None)
        if counterpart is None:
            _lacks(item, report)
        else:
            pairs.append(Pair(item, counterpart))
    for item in counterparts.values():
        _lacks(item, report)
    return pairs


def _key(item: Input, by_frame: bool) -> FrameNumber | str:
    """What an input and its counterpart share."""
    if item.frame is None or (item.within and not by_frame):
        return Path(item.name).stem
    return item.frame


def _lacks(item: Input, report: Report) -> None:
    report.failure(Failure(item.path, InputError(f"{item.words}: there is no file to compare it with")))
