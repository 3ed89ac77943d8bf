"""Work on the grids of a frame: in order as far as its results go, otherwise as soon as what it waits for is there."""

import functools
import gc
import threading
import weakref

import pytest

from neuralvdb.codec import scheduler as module
from neuralvdb.codec.scheduler import GridWork, Outcome, Scheduler

THREADS = pytest.mark.parametrize("threads", [1, 2, 5])
LONG = 30  # seconds, after which a test that waits for ever fails


def steps(work, needed=()):
    yield needed
    return work()


@THREADS
def test_results_come_in_order_and_work_begins_behind_what_it_waits_for(threads):
    """Each grid needs the two before it, but for the last ones, which need nothing and are done before others."""
    said, done = [Outcome() for _ in range(30)], []

    def work(number: int) -> int:
        assert all(outcome.is_there for outcome in needed(number))
        said[number].set(number)
        done.append(number)
        return number * number

    def needed(number: int) -> list[Outcome]:
        return said[max(number - 2, 0) : number] if number < 20 else []

    grids = (GridWork(steps(lambda number=number: work(number), needed(number)), 1) for number in range(30))
    with Scheduler(threads, 30) as scheduler:
        assert list(scheduler.in_order(grids)) == [number * number for number in range(30)]
    assert sorted(done) == list(range(30))


def test_a_long_grid_does_not_keep_small_ones_waiting():
    """The first of two threads is busy until the seventh grid is done."""
    seventh = threading.Event()

    def work(number: int) -> int:
        if number == 6:
            seventh.set()
        return number if number or seventh.wait(LONG) else -1

    with Scheduler(2, 8) as scheduler:
        grids = (GridWork(steps(lambda number=number: work(number)), 1) for number in range(8))
        assert list(scheduler.in_order(grids)) == list(range(8))


@THREADS
@pytest.mark.parametrize(("size", "most"), [(module._SMALL, 1), (module._SMALL // 16, 4)], ids=["large", "small"])
def test_so_many_grids_are_there_at_most(threads, size, most):
    """Beside the one that is asked for, until what is to be done after their result was used is done."""
    alive, lock, highest = 0, threading.Lock(), 0

    def change(by: int) -> None:
        nonlocal alive, highest
        with lock:
            alive += by
            highest = max(highest, alive)

    def grids():
        for _ in range(40):
            change(1)
            yield GridWork(steps(lambda: None), size)

    with Scheduler(threads, 40) as scheduler:
        for _ in scheduler.in_order(grids(), lambda _: lambda: change(-1)):
            pass
    assert alive == 0
    assert highest <= most * threads + 1


@THREADS
def test_errors_come_in_their_place(threads):
    def fail() -> None:
        raise ValueError("third")

    taken = []
    with pytest.raises(ValueError, match="third"), Scheduler(threads, 9) as scheduler:
        works = [fail if number == 3 else int for number in range(9)]
        for result in scheduler.in_order(GridWork(steps(work), 1) for work in works):
            taken.append(result)
    assert taken == [0, 0, 0]


@THREADS
@pytest.mark.parametrize("where", ["asking", "after"])
def test_errors_of_reading_and_of_what_is_done_after_are_raised(threads, where):
    def grids():
        for number in range(9):
            if number == 8 and where == "asking":
                raise ValueError("here")
            yield GridWork(steps(int), 1)

    def after(number: int):
        return (lambda: [][1]) if number == 5 and where == "after" else lambda: None

    with pytest.raises((ValueError, IndexError)), Scheduler(threads, 9) as scheduler:
        list(scheduler.in_order(grids(), after))


@pytest.mark.parametrize(("threads", "grids", "free"), [(1, 9, [1]), (4, 1, [4]), (4, 2, [3, 4])])
def test_threads_that_have_nothing_to_do_are_free(threads, grids, free):
    """All of them for a grid that is alone; a thread that has not begun to wait yet is not."""
    with Scheduler(threads, grids) as scheduler:
        told = list(scheduler.in_order([GridWork(steps(scheduler.free_threads), 1)]))
    assert told[0] in free


@THREADS
def test_results_that_were_taken_are_let_go(threads):
    """Those of work that waited for another grid, too."""
    first, results = Outcome(), []

    class Large:
        """Stands for a grid."""

    def work(number: int) -> Large:
        if number == 0:
            first.set(None)
        return Large()

    grids = (GridWork(steps(lambda number=number: work(number), [first][: number > 0]), 1) for number in range(8))
    with Scheduler(threads, 8) as scheduler:
        for result in scheduler.in_order(grids):
            results.append(weakref.ref(result))
            del result
    gc.collect()
    assert [result() for result in results] == [None] * 8
    first.get()


def test_work_that_cannot_go_on_fails(monkeypatch):
    """There may be no memory for its next step."""
    started = Outcome()

    def go_on(queue, task):
        if task.number == 1 and started.is_there:
            raise MemoryError
        queue(task)

    queue = Scheduler._queue
    monkeypatch.setattr(Scheduler, "_queue", lambda scheduler, task: go_on(functools.partial(queue, scheduler), task))
    grids = [GridWork(steps(lambda: started.set(None)), 1), GridWork(steps(int, [started]), 1)]
    with Scheduler(2, 2) as scheduler, pytest.raises(MemoryError):
        list(scheduler.in_order(grids))
