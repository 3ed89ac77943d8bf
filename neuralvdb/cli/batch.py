"""Work on many files, several at once, each in a child process of its own.

This process has loaded what the work needs and forks a child for each file, which costs some milliseconds, not the
start of a program. It has one thread, and listens to all children.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import os
import selectors
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from neuralvdb import devices, platform
from neuralvdb.cli import isolate
from neuralvdb.cli.isolate import BASE_MEMORY, Child, IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result, failures_reported
from neuralvdb.dataclass import dataclass

if TYPE_CHECKING:
    from neuralvdb.api.jobs import Progress, Task

T = TypeVar("T")

_SHARE = struct.Struct("<If")  # number of a job, and the share of it that is done
_TICK = 1.0  # seconds after which the time left is said anew


@dataclass(frozen=True, kw_only=True)
class FileJob(Generic[T]):
    """Work on one file, or on some that belong together."""

    path: str
    """What errors are about."""
    runner: IsolatedRunner
    """Who does the work."""
    begin: Callable[[Progress], AbstractContextManager[Task[T]]]
    """Gives the work, which is done within the block and tells the Progress; it may isolate.tell() of each file."""
    total: Callable[[], int]
    """The amount of which progress is told; asked in the child, when the work has begun."""
    finish: Callable[[T, float], Result | Sequence[Result | Failure]]
    """What became of the file, or of each, made of what the work returned and the seconds that it took."""
    hear: Callable[[Any, float], Result] | None = None
    """What became of a file, made of what was told of it and the seconds that it took: where files are done one after
    the other, and have names when all are."""
    files: int = 1
    """How many there are."""


def run_batch(jobs: Sequence[FileJob[Any]], at_once: int, report: Report) -> None:
    """Does all jobs, `at_once` of them at a time; an error of one, even an unexpected one, leaves the others alone.

    An interrupt ends all children and leaves no file half-written.
    """
    batch = _Batch(jobs, report)
    report.begin(sum(job.files for job in jobs))
    gc.freeze()  # children leave what is loaded alone, so that its memory stays shared
    try:
        batch.run(at_once)
    finally:
        isolate.end_all()
        batch.close()


def jobs_at_once(wanted: int | None, needs: Sequence[int], threads: int, device: str = "cpu") -> int:
    """How many files are worked on at once: as many as are wanted, else what cores and memory allow; one on a GPU.

    needs: bytes that each file can need beyond BASE_MEMORY.
    """
    if wanted is not None:
        return max(min(wanted, len(needs)), 1)
    if devices.starts_gpu(device, max(needs, default=0)):
        return 1
    left, count = platform.usable_memory(), 0
    for need in sorted(needs, reverse=True)[:threads]:
        left -= BASE_MEMORY + need
        count += left >= 0
    return max(count, 1)


@dataclass(frozen=True)
class _Running:
    """A job that a child is doing. number: of its first file. stack: what ends it, be it done or not. times: when it
    began, and when it told of each file."""

    number: int
    job: FileJob[Any]
    child: Child[Any]
    stack: contextlib.ExitStack
    times: list[float]


class _Batch:
    """Jobs that wait, and those that are being done."""

    def __init__(self, jobs: Sequence[FileJob[Any]], report: Report) -> None:
        firsts = itertools.accumulate((job.files for job in jobs), initial=0)
        self._jobs, self._report = dict(zip(firsts, jobs, strict=False)), report  # by the numbers of their first files
        self._shares: dict[int, float] = {}  # of each job that was begun, by its first file, how much of it is done
        self._ended: set[int] = set()  # of these, those of which the report hears what became
        self._told: dict[int, int] = {}  # of each job, by its first file, of how many of its files it has told
        self._selector = selectors.PollSelector()  # unlike epoll's it is not shared with children
        self._receive, self._send = os.pipe()  # for shares
        os.set_blocking(self._send, False)  # what does not fit is not missed
        isolate.withheld.add(self._receive)
        self._selector.register(self._receive, selectors.EVENT_READ)

    def run(self, at_once: int) -> None:
        """Does all jobs."""
        waiting = iter(self._jobs.items())
        running: dict[int, _Running] = {}  # by the number of the first file

        def start(most: int) -> None:
            while len(running) < most and (entry := next(waiting, None)) is not None:
                self._start(*entry, running)

        try:
            while True:
                start(at_once)
                if not running:
                    return
                for key, _ in self._selector.select(_TICK):
                    if key.fd == self._receive:
                        self._hear_shares()
                        continue
                    work = running[key.data]
                    has_ended = work.child.receive()
                    with failures_reported(work.job.path, self._report, work.number):
                        self._hear(work)
                    if has_ended:
                        self._selector.unregister(key.fd)
                        if at_once > 1:  # else the next job is told what became of this one
                            start(at_once + 1)  # before this one's file is on disk, which takes time
                        self._finish(key.data, running)
                self._tell()
        except BaseException as error:
            for unfinished in running.values():
                with contextlib.suppress(BaseException):
                    unfinished.stack.__exit__(type(error), error, error.__traceback__)
            raise

    def close(self) -> None:
        """Closes what this opened."""
        isolate.withheld.discard(self._receive)
        self._selector.close()
        os.close(self._receive)
        os.close(self._send)

    def _start(self, number: int, job: FileJob[Any], running: dict[int, _Running]) -> None:
        began = time.perf_counter()
        self._shares[number] = 0.0
        with failures_reported(job.path, self._report, number), contextlib.ExitStack() as stack:
            task = stack.enter_context(job.begin(self._progress(number, job)))
            child = job.runner.start(task.work, writes=task.writes)
            stack.callback(child.end)
            self._selector.register(child, selectors.EVENT_READ, number)
            running[number] = _Running(number, job, child, stack.pop_all(), [began])
            return
        self._end(number)

    def _hear(self, work: _Running) -> None:
        """Reports files that are done, and have no names yet."""
        for value in work.child.told():
            assert work.job.hear is not None
            work.times.append(time.perf_counter())
            result = work.job.hear(value, round(work.times[-1] - work.times[-2], 3))
            file = self._told.get(work.number, 0)
            self._told[work.number] = file + 1
            self._report.ahead(result, work.number + file)

    def _finish(self, number: int, running: dict[int, _Running]) -> None:
        """Gives the output its name and reports; an interrupt waits, so that what has its name is reported."""
        mask = platform.block_interrupts()
        try:
            done = running.pop(number)
            self._end(done.number)
            with failures_reported(done.job.path, self._report, done.number):
                with done.stack:
                    value = done.child.result()
                seconds = round(time.perf_counter() - done.times[0], 3)
                outcome = done.job.finish(value, seconds)
                outcomes = [outcome] if isinstance(outcome, Result) else outcome
                for file, of_file in enumerate(outcomes, done.number):
                    if isinstance(of_file, Result):
                        self._report.result(of_file, file)
                    else:
                        self._report.failure(of_file, file)
        finally:
            platform.restore_interrupts(mask)

    def _end(self, number: int) -> None:
        self._shares[number] = 1.0
        self._ended.add(number)

    def _progress(self, number: int, job: FileJob[Any]) -> Progress:
        """What the work on a file tells of its progress."""
        if not self._report.shows_progress:
            return _ignore
        return _Shares(self._send, number, job.total)

    def _hear_shares(self) -> None:
        """Takes what children say of their progress, which need not be true."""
        data = os.read(self._receive, 512 * _SHARE.size)
        for number, share in _SHARE.iter_unpack(data[: len(data) // _SHARE.size * _SHARE.size]):
            if number in self._shares and math.isfinite(share):
                self._shares[number] = min(max(share, self._shares[number]), 1.0)

    def _tell(self) -> None:
        done = {number: share * self._jobs[number].files for number, share in self._shares.items()}
        ahead = sum(self._ahead(number, files) for number, files in done.items() if number not in self._ended)
        self._report.progress(sum(done.values()) / sum(job.files for job in self._jobs.values()), ahead)

    def _ahead(self, number: int, files: float) -> int:
        """Of a job that goes on, how many files are done: as it has told, else as the share of its work says."""
        return int(files) if self._jobs[number].hear is None else self._told.get(number, 0)


class _Shares:
    """A Progress of a child: writes to a pipe which share of the work is done."""

    def __init__(self, pipe: int, number: int, total: Callable[[], int]) -> None:
        self._pipe, self._number, self._ask = pipe, number, total
        self._done, self._total = 0, 0

    def __call__(self, amount: int, /) -> None:
        """Adds `amount` to what is done."""
        self._total = self._total or max(self._ask(), 1)
        self._done += amount
        with contextlib.suppress(BlockingIOError):
            os.write(self._pipe, _SHARE.pack(self._number, min(self._done / self._total, 1.0)))


def _ignore(_: int, /) -> None:
    """A Progress that nobody hears of."""
