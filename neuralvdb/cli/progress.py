"""How far a batch is, shown on a terminal or told to programs, as --progress says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

from neuralvdb.dataclass import dataclass

if TYPE_CHECKING:
    from tqdm import tqdm

SCHEMA = 1
"""The version of every JSON object; JSON.md says what they hold."""
_PAUSE = 1.0  # seconds between two lines


@dataclass(frozen=True)
class Stage:
    """How far a batch is. share: of all its work; seconds: since it began."""

    done: int
    files: int
    share: float
    seconds: float

    @property
    def percent(self) -> float:
        """Of all the work."""
        return round(100 * self.share, 1)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None where there is none yet."""
        return round(self.seconds * (1 / self.share - 1), 1) if self.share > 0 else None


class ProgressView(Protocol):
    """Shows or tells how far a batch is."""

    @property
    def stream(self) -> TextIO:
        """Where."""

    def show(self, stage: Stage) -> None:
        """Hears how far it is now."""

    def hide(self) -> None:
        """Makes room for a line on the terminal."""


class Nothing:
    """A ProgressView for nobody."""

    @property
    def stream(self) -> TextIO:
        """Any."""
        return sys.stderr

    def show(self, stage: Stage) -> None:
        """Shows nothing."""

    def hide(self) -> None:
        """There is nothing to hide."""


class Bar:
    """A bar on a terminal, from the second second on: files done, share of the work, time since the start and left."""

    def __init__(self, label: str) -> None:
        self.stream, self._label = sys.stderr, label
        self._bar: tqdm[NoReturn] | None = None

    def show(self, stage: Stage) -> None:
        """Draws the bar."""
        if self._bar is None:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread, which would be forked and hear interrupts that this one holds back
            form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(total=1.0, bar_format=form, delay=_PAUSE, leave=False, miniters=0, file=self.stream)
        self._bar.set_description_str(f"{stage.done}/{stage.files}" if stage.files > 1 else self._label, refresh=False)
        self._bar.update(stage.share - self._bar.n)

    def hide(self) -> None:
        """Clears the line, if anything is on it."""
        if self._bar is not None and self._bar.last_print_t > self._bar.start_t:
            self._bar.clear()


class Lines:
    """A line about once a second where something has changed, and one at the end. form: makes the text of it."""

    def __init__(self, stream: TextIO, form: Callable[[Stage], str]) -> None:
        self.stream, self._form = stream, form
        self._last, self._when = "", 0.0

    def show(self, stage: Stage) -> None:
        """Prints the line."""
        now = time.monotonic()
        if stage.share < 1 and now - self._when < _PAUSE:
            return
        key = f"{stage.done} {stage.percent}"
        if key != self._last:
            print(self._form(stage), file=self.stream, flush=True)
            self._last, self._when = key, now

    def hide(self) -> None:
        """Lines stay."""


def _words(stage: Stage) -> str:
    left = "" if stage.seconds_left is None else f", {clock(stage.seconds_left)} left"
    return f"nvdb: {stage.done}/{stage.files} done, {stage.percent:.0f} %{left}"


def _json(stage: Stage) -> str:
    import json  # which takes time

    told = {
        "done": stage.done,
        "files": stage.files,
        "percent": stage.percent,
        "seconds": round(stage.seconds, 1),
        "seconds_left": stage.seconds_left,
    }
    return json.dumps({"schema": SCHEMA, "progress": told})


def _openjd(stage: Stage) -> str:
    return f"openjd_progress: {stage.percent}\nopenjd_status: {stage.done} of {stage.files} files done"


def clock(seconds: float) -> str:
    """`1:05` or `2:00:05` for seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


WAYS = ("plain", "json", "openjd", "none")


def view_of(way: str | None, label: str, *, quiet: bool) -> ProgressView:
    """The view of one of WAYS; of None a Bar called `label` where people see it, unless `quiet`."""
    if way == "plain":
        return Lines(sys.stderr, _words)
    if way == "json":
        return Lines(sys.stderr, _json)
    if way == "openjd":
        return Lines(sys.stdout, _openjd)
    return Bar(label) if way is None and not quiet and sys.stderr.isatty() else Nothing()
