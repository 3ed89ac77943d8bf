"""Masks decoded on a GPU by neuralvdb.kernels: the twin of code_mask.code_mask(). Needs torch and triton.

Which bricks are next to each other is still found on the CPU, 0.7 us for each.

Twin of topology/code_mask.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch

from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder
from neuralvdb.devices import ONE_AT_A_TIME
from neuralvdb.errors import OutOfMemory
from neuralvdb.kernels.classify_masks import MaskLevel, Phase, decode, points_of
from neuralvdb.kernels.classify_masks.reference import cells
from neuralvdb.kernels.network import Packed, Weights, pack
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import LEVELS, OUTSIDE, Neighbours, pyramid
from neuralvdb.topology.code_mask import MaskTask
from neuralvdb.topology.inputs import ORDER, Family, inputs_of, octants, offsets
from neuralvdb.volume.grid import unpack

BRICKS = (1 << 25) - 4  # more have no numbers of 32 bits for their cells


class DeviceCoder:
    """Decodes one mask after the other from `coder`, which nothing was taken from. implementation: of kernels."""

    def __init__(self, coder: Decoder, device: str, implementation: str = "triton") -> None:
        self._coder, self._device, self._implementation = coder, device, implementation
        self._segments, _ = segments_of([coder], [0], device)
        self._slots = slots_on(device)

    def code_mask(self, task: MaskTask) -> np.ndarray:
        """The mask (B, 64) uint8, as code_mask.code_mask() has it. Raises DamagedFile, OutOfMemory."""
        count = len(task.neighbours.coords)
        try:
            if count > BRICKS:
                raise torch.OutOfMemoryError
            with ONE_AT_A_TIME:
                mask = self._mask(task).cpu().numpy()
        except torch.OutOfMemoryError:
            raise OutOfMemory(f"{self._device}: masks of {count} bricks do not fit; use --device cpu") from None
        self._coder.taken(0, dry=self._dry(), ended=None)
        masks = np.packbits(mask, axis=1, bitorder="little")
        return masks & ~task.reference if task.reference is not None and task.skip_reference else masks

    def finish(self) -> None:
        """Raises DamagedFile unless everything was taken."""
        self._coder.taken(0, dry=self._dry(), ended=self._segments.ended().cpu().numpy())

    def _dry(self) -> np.ndarray:
        return (self._segments.at > self._segments.end).cpu().numpy()

    def _mask(self, task: MaskTask) -> torch.Tensor:
        bricks, reference = len(task.neighbours.coords), task.reference
        near = torch.from_numpy(task.neighbours.near).to(self._device)
        other = [None] * LEVELS if reference is None else [self._to(states) for states in pyramid(unpack(reference))]
        above = self._to(np.concatenate([np.zeros(bricks, np.int8), OUTSIDE])[:, None])
        for k in reversed(range(LEVELS)):
            states = above.clone() if k == LEVELS - 1 else _upsample(above)
            level = MaskLevel(states=states, above=above, reference=other[k], near=near)
            for number, parents in self._phases(task.neighbours, above, k):
                if task.skip_reference and level.reference is not None:
                    parents = parents[level.reference[cells(level, parents, ORDER[number])] < 1]
                if len(parents) and not len(self._segments.stream):
                    self._coder.take(np.zeros(len(parents), np.uint8))  # raises: there are none
                phase = phase_on(task.families[k], number, k, self._device)
                decode(level, parents, phase, self._slots, self._segments, implementation=self._implementation)
            above = states
        return above[:bricks] > 0

    def _phases(self, neighbours: Neighbours, above: torch.Tensor, k: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Phase, and parents (n,) int32 of its cells: at level 3 the bricks, else mixed cells above."""
        if k == LEVELS - 1:
            octant = octants(neighbours.coords)
            for number, o in enumerate(ORDER):
                yield number, self._to(np.flatnonzero(octant == o).astype(np.int32))
            return
        parents = torch.nonzero(above[: -len(OUTSIDE)].reshape(-1) == 0)[:, 0].to(torch.int32)
        for number in range(len(ORDER)):
            yield number, parents

    def _to(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


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
