"""Work on the grids of a frame by several threads, each step of it as soon as what it waits for is there."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from neuralvdb.dataclass import dataclass

Result = TypeVar("Result")

_SMALL = 64 << 20  # bytes of grids that may be there together, however few threads there are,
_MOST = 4  # and so many of them for each thread
_GRIDS, _NEXT, _AFTER = range(3)  # what goes first: grids that are begun, then the next one, then what is done behind


class Outcome(Generic[Result]):
    """What becomes of work: a result or an error, once that is there. concurrent.futures takes time to load."""

    def __init__(self) -> None:
        self._lock, self._listeners = threading.Lock(), list[Callable[[], None]]()
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self.is_there = False

    def set(self, result: Result) -> None:
        """Says what it is."""
        self._results.append(result)
        self._tell()

    def fail(self, error: BaseException) -> None:
        """Says that there is an error in its place."""
        self._error = error
        self._tell()

    def get(self) -> Result:
        """What it is, when it is there. Raises the error."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def then(self, listener: Callable[[], None]) -> None:
        """Calls a listener once it is there."""
        with self._lock:
            if not self.is_there:
                self._listeners.append(listener)
                return
        listener()

    def _tell(self) -> None:
        with self._lock:
            self.is_there = True
            listeners, self._listeners = self._listeners, []  # which hold tasks, and so what became of them
        for listener in listeners:
            listener()


Steps = Generator[Sequence[Outcome[Any]], None, Result]
"""Work in steps, between which it yields what it waits for: something that work begun earlier says."""


@dataclass(frozen=True)
class GridWork(Generic[Result]):
    """Work on a grid. size: bytes that it takes from when it is there until its result is used."""

    steps: Steps[Result]
    size: int


@dataclass(frozen=True)
class _Task(Generic[Result]):
    """Work, or the steps that are left of it. rank, number: those with lower ones go first."""

    rank: int
    number: int
    steps: Steps[Result]
    outcome: Outcome[Result]


class Scheduler:
    """Threads that take steps of work on grids: `threads` of them, the calling one among them, or as many as there are
    grids. To be used in a `with` block, at whose end no other thread works any more; a generator that has such a block
    must be closed by who takes what it gives, as an error there does not end it."""

    def __init__(self, threads: int, grids: int) -> None:
        self._threads, self._most, self._changed = threads, min(threads, grids), threading.Condition()
        self._ready: list[tuple[int, int, int, _Task[Any]]] = []
        self._count = itertools.count()  # so that no two of these are equal
        self._idle, self._has_ended = 0, False
        self._helpers: list[threading.Thread] = []

    def __enter__(self) -> Scheduler:
        try:
            for _ in range(self._most - 1):
                thread = threading.Thread(target=self._take_steps, args=(lambda: self._has_ended,))
                thread.start()
                self._helpers.append(thread)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
        for thread in self._helpers:
            thread.join()

    def free_threads(self) -> int:
        """How many threads the one that asks may use: itself, and those that have nothing to do."""
        return self._threads - len(self._helpers) + self._idle

    def in_order(
        self, work: Iterable[GridWork[Result]], after: Callable[[int], Callable[[], None] | None] = lambda _: None
    ) -> Iterator[Result]:
        """The results of work on grids, in order; the next work is asked for when a thread has nothing else to do.

        At most that many grids are there beside the one that is asked for, or more where they are small. after: gives
        what is to be done about a grid, by its number, once its result was used, if anything. Raises what work raises,
        in its place, and sooner or later what that raises.
        """
        grids, behind = _Grids[Result](self._most), deque[Outcome[None]]()
        asking = self._begin(_NEXT, 0, self._begin_each(work, grids))

        def is_settled(number: int) -> bool:
            return grids.is_done(number) or (asking.is_there and not grids.is_begun(number))

        for number in itertools.count():
            self._take_steps(partial(is_settled, number))
            if not grids.is_begun(number):
                break
            yield grids.take(number)
            to_do = after(number)
            if to_do is None:
                grids.end(number)
            else:
                behind.append(self._begin(_AFTER, number, _single_step(to_do)))
                behind[-1].then(partial(grids.end, number))
            while behind and behind[0].is_there:
                behind.popleft().get()
        asking.get()
        for outcome in behind:
            self._take_steps(partial(getattr, outcome, "is_there"))
            outcome.get()

    def _begin_each(self, work: Iterable[GridWork[Result]], grids: _Grids[Result]) -> Steps[None]:
        """Begins work on each grid as soon as that may be there."""
        for number, of_grid in enumerate(work):
            while (room := grids.room_for(of_grid.size)) is not None:
                yield [room]
            grids.begin(number, of_grid.size, self._begin(_GRIDS, number, of_grid.steps))
            yield []

    def _begin(self, rank: int, number: int, steps: Steps[Result]) -> Outcome[Result]:
        """What becomes of work, which may begin."""
        task = _Task(rank, number, steps, Outcome[Result]())
        self._queue(task)
        return task.outcome

    def _queue(self, task: _Task[Any]) -> None:
        with self._changed:
            heapq.heappush(self._ready, (task.rank, task.number, next(self._count), task))
            self._changed.notify_all()

    def _take_steps(self, is_done: Callable[[], bool]) -> None:
        """Takes steps that are ready, and waits for such, until something is done."""
        while (task := self._next_task(is_done)) is not None:
            self._take_step(task)
            del task  # what became of it may be large
            with self._changed:
                self._changed.notify_all()

    def _next_task(self, is_done: Callable[[], bool]) -> _Task[Any] | None:
        """One that is ready, once there is such; None once something is done."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._ready or is_done())
            self._idle -= 1
            return None if is_done() else heapq.heappop(self._ready)[-1]

    def _take_step(self, task: _Task[Any]) -> None:
        try:
            waits_for = next(task.steps)
        except StopIteration as end:
            task.outcome.set(end.value)
        except BaseException as error:
            task.outcome.fail(error)
            if not isinstance(error, Exception):  # an interrupt
                raise
        else:
            self._go_on(task, iter(waits_for))

    def _go_on(self, task: _Task[Any], left: Iterator[Outcome[Any]]) -> None:
        """Takes the next step of a task when all that is left is there."""
        try:
            for outcome in left:
                if not outcome.is_there:
                    outcome.then(lambda: self._go_on(task, left))
                    return
            self._queue(task)
        except BaseException as error:  # there may be no memory for this
            task.outcome.fail(error)
            if not isinstance(error, Exception):
                raise


def _single_step(work: Callable[[], Result]) -> Steps[Result]:
    """Work that waits for nothing."""
    yield from ()
    return work()


class _Grids(Generic[Result]):
    """Grids that are there: work on them was begun, and its result is not used yet."""

    def __init__(self, few: int) -> None:
        self._few, self._lock = few, threading.Lock()
        self._outcomes: dict[int, Outcome[Result]] = {}
        self._sizes: dict[int, int] = {}
        self._room: Outcome[None] | None = None

    def room_for(self, size: int) -> Outcome[None] | None:
        """None where another grid, of so many bytes, may be there, too; else what is there when one has ended."""
        with self._lock:
            few = len(self._sizes) < self._few
            small = len(self._sizes) < _MOST * self._few and sum(self._sizes.values()) + size <= _SMALL
            self._room = None if few or small else Outcome()
            return self._room

    def begin(self, number: int, size: int, outcome: Outcome[Result]) -> None:
        """Says that one is there, and what becomes of it."""
        with self._lock:
            self._sizes[number], self._outcomes[number] = size, outcome

    def is_begun(self, number: int) -> bool:
        """Whether a grid is there whose result was not taken."""
        return number in self._outcomes

    def is_done(self, number: int) -> bool:
        """Whether its result is there."""
        return number in self._outcomes and self._outcomes[number].is_there

    def take(self, number: int) -> Result:
        """Its result. Raises what work on it raised."""
        return self._outcomes.pop(number).get()

    def end(self, number: int) -> None:
        """Says that one is not there any more."""
        with self._lock:
            del self._sizes[number]
            room, self._room = self._room, None
        if room is not None:
            room.set(None)
