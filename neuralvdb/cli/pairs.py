"""Which file is compared with which: by frame, or by name where names are no frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuralvdb.cli.frames import Input
from neuralvdb.cli.jobs import Failure, Report
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError


@dataclass(frozen=True)
class Pair:
    """A file and the one to compare it with, None for nothing."""

    first: str
    second: str | None


def pair_all(firsts: Sequence[Input], seconds: Sequence[Input], report: Report) -> list[Pair]:
    """Each file with its counterpart; `report` hears of those that have none. One file is that of one other."""
    if len(firsts) == len(seconds) == 1:
        return [Pair(firsts[0].path, seconds[0].path)]
    counterparts = {_key(item): item.path for item in seconds}
    pairs = []
    for item in firsts:
        counterpart = counterparts.pop(_key(item), None)
        if counterpart is None:
            _lacks(item.path, report)
        else:
            pairs.append(Pair(item.path, counterpart))
    for path in counterparts.values():
        _lacks(path, report)
    return pairs


def _key(item: Input) -> int | str:
    """What a file and its counterpart share."""
    return Path(item.path).stem if item.frame is None else item.frame


def _lacks(path: str, report: Report) -> None:
    report.failure(Failure(path, InputError(f"{path}: there is no file to compare it with")))
