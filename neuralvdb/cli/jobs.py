"""What a command is, what it gives back, and jobs one after the other."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError


@dataclass(frozen=True)
class Sizes:
    """Bytes of a file, or of many, before and after."""

    before: int
    after: int

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.before + other.before, self.after + other.after)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one file."""

    json: dict[str, object]
    """For programs."""
    text: str
    """For people; nothing where `table_row` says it all."""
    table_row: dict[str, str] | None = None
    """Its row in a table of many files, by the heads of columns."""
    different: bool = False
    """Whether the exit code should say that something differs."""
    sizes: Sizes | None = None
    """Of what was read and of what was written."""
    skipped: bool = False
    """Whether it was done before."""
    is_total: bool = False
    """Whether it is about all inputs together, and not counted among them."""


@dataclass(frozen=True)
class Failure:
    """An error. path: the file it is about; empty where it is about none."""

    path: str
    error: NeuralVdbError


class Report(Protocol):
    """Hears what became of each file, as soon as that is known. number: of the file among those of a batch."""

    @property
    def shows_progress(self) -> bool:
        """Whether it wants to hear of progress."""

    def begin(self, files: int, /) -> None:
        """Hears how many files there are."""

    def progress(self, share: float, ahead: int = 0, /) -> None:
        """Hears how much of all work is done. ahead: files that wait, done, for others that they go with."""

    def ahead(self, result: Result, number: int, /) -> None:
        """Hears of a file that is done, and has no name before others are done; result() follows, or failure()."""

    def result(self, result: Result, number: int = 0, /) -> None:
        """Hears of a file that is done."""

    def failure(self, failure: Failure, number: int = 0, /) -> None:
        """Hears of a file that could not be done."""


class Command(Protocol):
    """A module of a command. HELP: one line that says what it does."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares the command's options."""

    def run(self, args: argparse.Namespace, report: Report) -> None:
        """Does what the options ask for. Raises UsageError, InputError before any file is worked on."""


@dataclass(frozen=True)
class Job:
    """Work on one file, the one called `path`."""

    path: str
    work: Callable[[], Result]


def run_all(jobs: Iterable[Job], report: Report) -> None:
    """Does all jobs; an error of one, even one that nobody expected, does not keep the others from being done."""
    jobs = list(jobs)
    report.begin(len(jobs))
    for number, job in enumerate(jobs):
        with failures_reported(job.path, report, number):
            report.result(job.work(), number)


@contextlib.contextmanager
def failures_reported(path: str, report: Report, number: int) -> Iterator[None]:
    """Errors of the block become failures of the file `path`."""
    try:
        yield
    except BrokenPipeError:  # of stdout
        raise
    except NeuralVdbError as error:
        report.failure(Failure(path, error), number)
    except Exception as error:
        report.failure(Failure(path, internal_error(error, f"{path}: ")), number)


def internal_error(error: Exception, where: str = "") -> NeuralVdbError:
    """The error for one that nobody expected, which is its cause."""
    what = f"{type(error).__name__}: {error}"
    wrapped = NeuralVdbError(f"{where}internal error, please report it with the output of -v: {what}")
    wrapped.__cause__ = error
    return wrapped
