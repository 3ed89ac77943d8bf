"""Chunks handed to devices, as many at a time as memory allows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import torch

from neuralvdb.devices import ONE_AT_A_TIME
from neuralvdb.errors import OutOfMemory

LEAF = 48 << 10  # bytes of device memory that a leaf takes while it is worked on
BATCHES = 4  # for each device at least, so that results of one are taken while the next is worked on,
PLACES = 1 << 22  # leaves of a batch at most: kernels count their voxels in 32 bits
ENOUGH = 1 << 17  # but no more than have so many leaves each, because a chain of symbols is as long for few as for many

Item = TypeVar("Item")
Result = TypeVar("Result", covariant=True)


class Work(Protocol[Item, Result]):
    """What a device does with a batch of items."""

    def __call__(self, items: list[Item], device: str) -> Result:
        """The result of a batch."""


def schedule(
    items: Sequence[Item], leaves: Sequence[int], devices: Sequence[str], work: Work[Item, Result]
) -> Generator[Result, None, None]:
    """The results of `work` for batches of all items, in turn on each device; leaves: of each item. While results are
    taken the next batches are worked on. To be closed by who takes them: until then nobody else gets a device.

    Raises what `work` raises, but OutOfMemory where a device has too little memory for one item.
    """
    with ONE_AT_A_TIME, ThreadPoolExecutor(len(devices)) as pool:
        most = max(ENOUGH, sum(leaves) // (BATCHES * len(devices)))
        batches = list(_batches(items, leaves, min(most, *map(_room, devices))))
        jobs = [_on_device(batches[i :: len(devices)], device, work) for i, device in enumerate(devices)]
        begun = [(job, pool.submit(next, job, None)) for job in jobs]
        while begun:
            done = [(job, result) for job, future in begun if (result := future.result()) is not None]
            begun = [(job, pool.submit(next, job, None)) for job, _ in done]
            yield from (result for _, result in done)


def _on_device(batches: list[list[Item]], device: str, work: Work[Item, Result]) -> Iterator[Result]:
    while batches:
        batch = batches.pop(0)
        try:
            yield work(batch, device)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise OutOfMemory(f"{device}: a chunk does not fit in its memory; use --device cpu") from None
            torch.cuda.empty_cache()
            batches[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]


def on_host(values: torch.Tensor) -> np.ndarray:
    """A copy of values that are ready, made while the device computes."""
    if not values.is_cuda:
        return values.numpy()
    stream = torch.cuda.Stream(values.device)
    with torch.cuda.stream(stream):
        copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
    stream.synchronize()
    return copy.numpy()


def _batches(items: Sequence[Item], leaves: Sequence[int], most: int) -> Iterator[list[Item]]:
    """Items in order, as many at a time as have `most` leaves together, at least one."""
    batch: list[Item] = []
    count = 0
    for item, size in zip(items, leaves, strict=True):
        if batch and count + size > most:
            yield batch
            batch, count = [], 0
        batch.append(item)
        count += size
    if batch:
        yield batch


def _room(device: str) -> int:
    """Leaves that fit in free memory."""
    if torch.device(device).type == "cpu":
        return 1 << 16
    return min(max(1, torch.cuda.mem_get_info(device)[0] * 7 // 10 // LEAF), PLACES)
