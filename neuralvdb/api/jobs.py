"""What a caller may hand to the functions of the API beside settings: who hears of progress, who does the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError

S = TypeVar("S")
T = TypeVar("T")


class Progress(Protocol):
    """Is called as work is done."""

    def __call__(self, amount: int, /) -> None:
        """Hears that `amount` more is done."""


class Note(Protocol):
    """Is called with what people should know."""

    def __call__(self, text: str, /) -> None:
        """Hears one line."""


class Tell(Protocol):
    """Is called with what is known before all of the work is done."""

    def __call__(self, value: object, /) -> None:
        """Hears it."""


class Runner(Protocol):
    """Calls a job: here, or in a process of its own."""

    def __call__(self, job: Callable[[], T], /, *, writes: Sequence[str] = ()) -> T:
        """What the job returns. writes: the files that it writes; they are there. Raises what the job raises."""


@dataclass(frozen=True)
class Task(Generic[T]):
    """Work that another process may do. writes: the files that it writes; they are there."""

    work: Callable[[], T]
    writes: Sequence[str] = ()


def only(outcomes: Sequence[T | NeuralVdbError]) -> T:
    """What became of the only file of several that there could be. Raises the error where it became one."""
    (outcome,) = outcomes
    if isinstance(outcome, NeuralVdbError):
        raise outcome
    return outcome


def ignore(_: object, /) -> None:
    """Does nothing: a Progress, a Note and a Tell."""


@dataclass(frozen=True)
class Listeners:
    """Who hears what while work is done."""

    progress: Progress = ignore
    note: Note = ignore
    tell: Tell = ignore


def run_here(job: Callable[[], T], /, *, writes: Sequence[str] = ()) -> T:
    """What the job returns, called in this process: a Runner."""
    return job()


def outcomes_of(work: Callable[[S], T], items: Sequence[S], progress: Progress = ignore) -> list[T | NeuralVdbError]:
    """What work() gives for each item, or its error. progress: is told of 1 after each."""
    outcomes: list[T | NeuralVdbError] = []
    for item in items:
        try:
            outcomes.append(work(item))
        except NeuralVdbError as error:
            outcomes.append(error)
        progress(1)
    return outcomes
