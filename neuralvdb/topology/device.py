"""Masks of leaves coded on a GPU by neuralvdb.kernels, those of all chunks at once. Needs torch and triton.

Those of nodes, which are few, and which bricks are next to each other, are found on the CPU.

Twin of topology/code_mask.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch

from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder
from neuralvdb.devices import ONE_AT_A_TIME
from neuralvdb.errors import OutOfMemory
from neuralvdb.kernels.classify_masks import Cells, MaskLevel, Phase, classify, decode, points_of
from neuralvdb.kernels.levels import unpack
from neuralvdb.kernels.network import Packed, Weights, pack
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import LEVELS, OUTSIDE
from neuralvdb.topology.code_mask import MaskTask
from neuralvdb.topology.inputs import ORDER, Family, inputs_of, octants, offsets
from neuralvdb.topology.native_mask import NativeDecoder

BRICKS = (1 << 25) - 4  # more have no numbers of 32 bits for their cells


Result = TypeVar("Result")


class CodeCells(Protocol):
    """Codes the cells of a phase."""

    def __call__(self, level: MaskLevel, cells: Cells, phase: Phase, /) -> None:
        """The level gets their states."""


@dataclass(frozen=True)
class Batch:
    """Symbols (n,) uint8, and the class (n,) uint8 of each."""

    classes: np.ndarray
    symbols: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DeviceMasks:
    """Codes masks on a device. implementation: of kernels.

    Tasks that are coded together are of the same families, and none skips its reference.
    """

    device: str
    implementation: str = "triton"

    def decode(self, coders: Sequence[Decoder], tasks: Sequence[MaskTask]) -> list[np.ndarray]:
        """The mask (B, 64) uint8 of each task, whose bits are all that is left in its coder. Raises DamagedFile,
        OutOfMemory."""
        lacking = (number for number, coder in enumerate(coders) if not len(coder.layout.states))
        count = next(lacking, len(coders))
        masks: list[np.ndarray] = []
        if count:
            masks = self._in_parts(
                lambda at_once: self._decoded(coders[at_once], tasks[at_once]), slice(0, count), tasks
            )
        if count < len(coders):
            _raise_missing(coders[count], tasks[count])  # behind what those before it may raise
        return masks

    def classify(self, tasks: Sequence[MaskTask]) -> list[list[Batch]]:
        """What an encoder puts for each task, whose truth is known, batch after batch. Raises OutOfMemory."""
        return self._in_parts(lambda at_once: self._classified(tasks[at_once]), slice(0, len(tasks)), tasks)

    def _in_parts(
        self, work: Callable[[slice], list[Result]], at_once: slice, tasks: Sequence[MaskTask]
    ) -> list[Result]:
        """The results of the tasks `at_once`, in halves where all do not fit."""
        try:
            if sum(len(task.neighbours.coords) for task in tasks[at_once]) > BRICKS:
                raise torch.OutOfMemoryError
            with ONE_AT_A_TIME:
                return work(at_once)
        except torch.OutOfMemoryError:
            half = (at_once.start + at_once.stop) // 2
            if half == at_once.start:
                bricks = len(tasks[half].neighbours.coords)
                raise OutOfMemory(f"{self.device}: masks of {bricks} bricks do not fit; use --device cpu") from None
        halves = slice(at_once.start, half), slice(half, at_once.stop)
        return [result for each in halves for result in self._in_parts(work, each, tasks)]

    def _decoded(self, coders: Sequence[Decoder], tasks: Sequence[MaskTask]) -> list[np.ndarray]:
        joined = _Joined.of(tasks)
        segments, owner = segments_of(coders, range(len(coders)), self.device)

        def code(level: MaskLevel, cells: Cells, phase: Phase) -> None:
            decode(level, cells, phase, slots_on(self.device), segments, implementation=self.implementation)

        mask = self._descend(joined, lambda _: code)[: joined.firsts[-1]] > 0
        masks = np.packbits(mask.cpu().numpy(), axis=1, bitorder="little")
        dry, ended = (segments.at > segments.end).cpu().numpy(), segments.ended().cpu().numpy()
        for number, (coder, task) in enumerate(zip(coders, tasks, strict=True)):
            if dry[owner == number].any():
                NativeDecoder(coder, 1).code_mask(task)  # raises, and says which segment is the first to run dry
            coder.taken(0, dry=dry[owner == number], ended=ended[owner == number])
        return np.split(masks, joined.firsts[1:-1])

    def _classified(self, tasks: Sequence[MaskTask]) -> list[list[Batch]]:
        joined = _Joined.of(tasks)
        assert joined.truth is not None
        exact, phases = self._pyramid(joined.truth), []

        def coding(k: int) -> CodeCells:
            def code(level: MaskLevel, cells: Cells, phase: Phase) -> None:
                classified = classify(level, cells, phase, exact[k], implementation=self.implementation)
                phases.append((cells.starts, classified.classes, classified.states))

            return code

        self._descend(joined, coding)
        all_starts, all_classes, all_states = (
            torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu().numpy() for tensors in zip(*phases, strict=True)
        )
        batches: list[list[Batch]] = [[] for _ in tasks]
        first = 0
        for number, starts in enumerate(all_starts.reshape(-1, len(tasks) + 1)):
            end = first + starts[-1]
            classes, states = all_classes[2 * first : 2 * end].reshape(2, -1), all_states[first:end]
            for task, (begin, behind) in enumerate(pairwise(starts)):
                k = LEVELS - 1 - number // len(ORDER)
                batches[task] += _batches(k, classes[:, begin:behind], states[begin:behind])
            first = end
        return batches

    def _descend(self, joined: _Joined, coding: Callable[[int], CodeCells]) -> torch.Tensor:
        """States of level 0 after all phases; `coding` gives what codes those of a level."""
        near = self._to(joined.near)
        other = [None] * LEVELS if joined.reference is None else self._pyramid(joined.reference)
        above = self._to(np.concatenate([np.zeros(len(near), np.int8), OUTSIDE])[:, None])
        for k in reversed(range(LEVELS)):
            states, code = above.clone() if k == LEVELS - 1 else _upsample(above), coding(k)
            level = MaskLevel(states=states, above=above, reference=other[k], near=near)
            for number, cells in self._phases(joined, above, k):
                code(level, cells, phase_on(joined.families[k], number, k, self.device))
            above = states
        return above

    def _pyramid(self, masks: np.ndarray) -> list[torch.Tensor]:
        """Twin of bricks.pyramid(), of masks (B, 64) uint8."""
        bits = unpack(self._to(masks), self._to(np.zeros(0, np.uint8)), implementation=self.implementation)[0]
        outside = self._to(OUTSIDE)[:, None]
        levels = [torch.cat([bits.to(torch.int8) * 2 - 1, outside.expand(-1, 512)])]
        for n in (4, 2, 1):
            eights = levels[-1].view(-1, n, 2, n, 2, n, 2)
            most, least = eights.amax((2, 4, 6)), eights.amin((2, 4, 6))
            levels.append(torch.where(most == least, most, 0).view(-1, n**3))
        return levels

    def _phases(self, joined: _Joined, above: torch.Tensor, k: int) -> Iterator[tuple[int, Cells]]:
        """Phase, and its cells: at level 3 the bricks, else children of mixed cells above."""
        if k == LEVELS - 1:
            octant = octants(joined.coords)
            for number, o in enumerate(ORDER):
                parents = np.flatnonzero(octant == o)
                starts = np.searchsorted(parents, joined.firsts)
                yield number, Cells(parents=self._to(parents.astype(np.int32)), starts=self._to(starts))
            return
        parents = torch.nonzero(above[: -len(OUTSIDE)].reshape(-1) == 0)[:, 0]
        starts = torch.searchsorted(parents, self._to(joined.firsts * above.shape[1]))
        cells = Cells(parents=parents.to(torch.int32), starts=starts)
        for number in range(len(ORDER)):
            yield number, cells

    def _to(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


@dataclass(frozen=True, kw_only=True)
class _Joined:
    """The bricks of tasks one after the other.

    families: of all. firsts: (D + 1,) int64, where those of each task begin. coords, near: as in Neighbours.
    truth, reference: (B, 64) uint8, or None.
    """

    families: tuple[Family, ...]
    firsts: np.ndarray
    coords: np.ndarray
    near: np.ndarray
    truth: np.ndarray | None
    reference: np.ndarray | None

    @classmethod
    def of(cls, tasks: Sequence[MaskTask]) -> _Joined:
        """Those of tasks, whose rows for what is outside become the same."""
        counts = [len(task.neighbours.coords) for task in tasks]
        firsts = np.cumsum([0, *counts])
        near = [
            task.neighbours.near + np.where(task.neighbours.near < count, first, firsts[-1] - count).astype(np.int32)
            for task, count, first in zip(tasks, counts, firsts, strict=False)
        ]
        return cls(
            families=tasks[0].families,
            firsts=firsts,
            coords=np.concatenate([task.neighbours.coords for task in tasks]),
            near=np.concatenate(near),
            truth=_whole([task.truth for task in tasks]),
            reference=_whole([task.reference for task in tasks]),
        )


def _whole(masks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Masks one after the other, where there are any."""
    known = [mask for mask in masks if mask is not None]
    return np.concatenate(known) if known else None


def _batches(k: int, classes: np.ndarray, states: np.ndarray) -> list[Batch]:
    """As code_mask.code_mask() puts cells of level k: classes (2, n) uint8, states (n,) int8."""
    first = Batch(classes[0], (states >= 0).view(np.uint8))
    if k == 0:
        return [first]
    return [first, Batch(classes[1][states >= 0], (states[states >= 0] > 0).view(np.uint8))]


def _raise_missing(coder: Decoder, task: MaskTask) -> None:
    """Raises DamagedFile: there are no symbols for the first phase that has bricks."""
    counts = np.bincount(octants(task.neighbours.coords), minlength=len(ORDER))[list(ORDER)]
    coder.take(np.zeros(counts[counts > 0][0], np.uint8))


@functools.cache
def slots_on(device: str) -> torch.Tensor:
    """The tables' slots (64, 4096) int32 on a device, as neuralvdb.kernels.rans takes them."""
    return torch.from_numpy(priors.load().tables.slots.view(np.int32)).to(device)


@functools.cache
def phase_on(family: Family, number: int, k: int, device: str) -> Phase:
    """A phase of level k on a device."""
    parents, cells_seen, referenced = (array.tolist() for array in offsets(family, number))
    points = points_of(parents, cells_seen, referenced, [k == level for level in family.levels]).to(device)
    return Phase(octant=ORDER[number], points=points, network=_network(family, number, device))


@functools.cache
def _network(family: Family, number: int, device: str) -> Packed:
    net = priors.load().networks[family.name, number]
    return pack(Weights.of(vars(net)), range(inputs_of(family, number))).to(device)


def _upsample(states: torch.Tensor) -> torch.Tensor:
    """bricks.upsample()."""
    rows, n = len(states), round(states.shape[1] ** (1 / 3))
    wide = states.view(rows, n, 1, n, 1, n, 1).expand(rows, n, 2, n, 2, n, 2)
    return wide.reshape(rows, 8 * n**3).contiguous()
