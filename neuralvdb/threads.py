"""Independent pieces of work on several threads of Python, for compiled code that lets others run meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterable[Result]:
    """What the work makes of each item, in order; no more threads than items."""
    waiting = list(items)
    if min(threads, len(waiting)) <= 1:
        return map(work, waiting)
    from concurrent.futures import ThreadPoolExecutor  # which takes time

    with ThreadPoolExecutor(min(threads, len(waiting))) as pool:
        return list(pool.map(work, waiting))
