"""Independent pieces of work on several threads of Python, for compiled code that lets others run meanwhile."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """What the work makes of each item, in order; no more threads than items."""
    waiting = list(items)
    jobs = (functools.partial(work, item) for item in waiting)
    return run_in_order(jobs, threads=max(min(threads, len(waiting)), 1), most_waiting=len(waiting) + 1)


def run_in_order(jobs: Iterable[Callable[[], Result]], *, threads: int, most_waiting: int) -> Iterator[Result]:
    """The results of the jobs in order, `threads` jobs at a time. Raises what a job raises, in its place.

    most_waiting: jobs that are begun and whose results are not taken, at most; the next job is asked for when there
    are fewer. One thread is the calling one.
    """
    if threads == 1:
        yield from (job() for job in jobs)
        return
    from concurrent.futures import ThreadPoolExecutor  # which takes time

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) >= most_waiting:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # of what nobody takes only that is ended which is begun
