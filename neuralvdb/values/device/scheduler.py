"""Domains dealt out to devices, as many at a time as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from neuralvdb.devices import ONE_AT_A_TIME
from neuralvdb.errors import OutOfMemory

LEAF = 48 << 10  # bytes of device memory that a leaf takes while it is worked on
BATCHES = 4  # for each device at least, so that results of one are taken while the next is worked on,
ENOUGH = 1 << 15  # but no more than have so many leaves each, which keep it busy

Item = TypeVar("Item")
Result = TypeVar("Result")


def deal(
    items: Sequence[Item],
    leaves: Callable[[Item], int],
    devices: Sequence[str],
    work: Callable[[list[Item], str], Result],
) -> Iterator[Result]:
    """work(some of the items, device) for all of them, in turn on each device; leaves: those of an item. While results
    are taken the next ones are worked on.

    Raises what `work` raises, but OutOfMemory where a device has too little for one item.
    """
    with ONE_AT_A_TIME, ThreadPoolExecutor(len(devices)) as pool:
        most = max(ENOUGH, sum(map(leaves, items)) // (BATCHES * len(devices)))
        todo = list(_batches(items, leaves, min(most, *map(_room, devices))))
        jobs = [_on_device(todo[i :: len(devices)], device, work) for i, device in enumerate(devices)]
        begun = [(job, pool.submit(next, job, None)) for job in jobs]
        while begun:
            done = [(job, found) for job, future in begun if (found := future.result()) is not None]
            begun = [(job, pool.submit(next, job, None)) for job, _ in done]
            yield from (found for _, found in done)


def _on_device(todo: list[list[Item]], device: str, work: Callable[[list[Item], str], Result]) -> Iterator[Result]:
    while todo:
        some = todo.pop(0)
        try:
            yield work(some, device)
        except torch.OutOfMemoryError:
            if len(some) == 1:
                raise OutOfMemory(f"{device}: a domain does not fit in its memory; use --device cpu") from None
            torch.cuda.empty_cache()
            todo[:0] = [some[: len(some) // 2], some[len(some) // 2 :]]


def on_host(values: torch.Tensor) -> np.ndarray:
    """A copy of what is ready, made beside what the device computes."""
    if not values.is_cuda:
        return values.numpy()
    stream = torch.cuda.Stream(values.device)
    with torch.cuda.stream(stream):
        found = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
    stream.synchronize()
    return found.numpy()


def _batches(items: Sequence[Item], leaves: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """Items in order, as many at a time as have `most` leaves, at least one."""
    some: list[Item] = []
    count = 0
    for item in items:
        if some and count + leaves(item) > most:
            yield some
            some, count = [], 0
        some.append(item)
        count += leaves(item)
    if some:
        yield some


def _room(device: str) -> int:
    """Leaves that fit in what memory is free."""
    if torch.device(device).type == "cpu":
        return 1 << 16
    return max(1, torch.cuda.mem_get_info(device)[0] * 7 // 10 // LEAF)
