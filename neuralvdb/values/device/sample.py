"""Twin of values/lattice/sample.py on a device, for all chunks of a batch at once."""

from __future__ import annotations

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Bricks, Destination, Neighbours, Targets
from neuralvdb.kernels.compact import NONE
from neuralvdb.kernels.predict import predict
from neuralvdb.kernels.reconstruct import TOP
from neuralvdb.values.device.batch import Batch
from neuralvdb.values.device.boxes import Boxes, downsample
from neuralvdb.values.device.coding import PassCoder, PassDecoder, PassEncoder
from neuralvdb.values.device.models import DeviceModels
from neuralvdb.values.device.quantiser import exact, expand, finite
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.constants import EDGE, SAMPLE_LEVELS, SAMPLE_ROOT_CLASS, SAMPLE_STEPS, SLOTS
from neuralvdb.values.lattice.pass_order import PASSES, sample_levels, sample_passes


@dataclass(frozen=True, kw_only=True)
class SampleLevel:
    """A level of all chunks.

    boxes: of its bricks;
    children: (R, 8) int64, the finer bricks that each joins, none on level 0;
    active, coded: (R, 512) uint8;
    neighbours: of its bricks;
    passes: the points of each pass; on the coarsest level of one, of all coded points.
    """

    boxes: Boxes
    children: torch.Tensor
    active: torch.Tensor
    coded: torch.Tensor
    neighbours: Neighbours
    passes: list[Targets]


class SampleLattice:
    """The sample lattice of a batch (lattice.Lattice)."""

    def __init__(self, batch: Batch, quantiser: Quantiser) -> None:
        self._batch, self._quantiser = batch, quantiser
        self.levels = _levels(batch)

    def encode(self, component: int, models: DeviceModels, buffer: SymbolBuffer) -> torch.Tensor:
        """As in Lattice."""
        exact_values = _ExactSamples(self._batch, self.levels, component, self._quantiser)
        coder = PassEncoder(exact_values, buffer, None, self._batch.implementation)
        return self._descend(component, models, coder, 0)

    def decode(self, component: int, models: DeviceModels, streams: Streams, lod: int) -> torch.Tensor:
        """As in Lattice."""
        return self._descend(component, models, PassDecoder(streams, models.slots, self._batch.implementation), lod)

    def cells(self, lod: int) -> tuple[Boxes, torch.Tensor]:
        """As in Lattice."""
        return self.levels[lod].boxes, self.levels[lod].coded

    def values(self, lattice_values: torch.Tensor) -> torch.Tensor:
        """As in Lattice."""
        return expand(self._quantiser, lattice_values)

    def holds(self, true: torch.Tensor) -> torch.Tensor:
        """As in Lattice: the bound says all."""
        return torch.ones_like(true, dtype=torch.bool)

    def _descend(self, component: int, models: DeviceModels, coder: PassCoder, lod: int) -> torch.Tensor:
        """Lattice values (R, 512) int32 of level `lod`, pass after pass of all levels above it."""
        values = [self._batch.blank_values(component, self._quantiser)]
        for level in self.levels[1:]:
            values.append(join_bricks(values[-1], level.children))
        (root,) = self.levels[-1].passes
        whole = coder.root(root, SAMPLE_STEPS[-1], SAMPLE_ROOT_CLASS)
        values[-1].view(-1)[root.points.long()] = (whole * SAMPLE_STEPS[-1]).clamp(-TOP, TOP).to(torch.int32)
        for k in sample_levels(lod):
            upsample_into(values.pop(), self.levels[k + 1].boxes, values[k], self.levels[k].boxes)
            self._code_level(k, values[k], models, coder)
        return values[lod]

    def _code_level(self, k: int, values: torch.Tensor, models: DeviceModels, coder: PassCoder) -> None:
        level = self.levels[k]
        bricks = Bricks(values=values, active=level.active, neighbours=level.neighbours)
        for pass_, targets in zip(sample_passes(k), level.passes, strict=True):
            predictions = predict(
                bricks,
                targets.points,
                models.predictors[pass_.network],
                pass_.quant_step,
                implementation=self._batch.implementation,
            )
            coder.code(pass_, predictions, Destination(targets=targets, values=values))


class _ExactSamples:
    """Exact lattice values (R, 512) float64 of every level of a component."""

    def __init__(self, batch: Batch, levels: list[SampleLevel], component: int, quantiser: Quantiser) -> None:
        values = batch.leaves.new_zeros(batch.active.shape, dtype=torch.float64)
        values[: batch.boxes.bricks] = finite(exact(batch.leaves[..., component], quantiser))
        self._levels = [values]
        for level in levels[1:]:
            self._levels.append(join_bricks(self._levels[-1], level.children))

    def top(self) -> torch.Tensor:
        """As in ExactValues."""
        return self._levels[-1]

    def level(self, level: int) -> torch.Tensor:
        """As in ExactValues."""
        return self._levels[level]


def _levels(batch: Batch) -> list[SampleLevel]:
    """All levels, from voxels up."""
    boxes, children = batch.boxes, torch.empty((0, 8), dtype=torch.int64, device=batch.device)
    active, coded = batch.active, batch.coded
    levels: list[SampleLevel] = []
    for k in range(SAMPLE_LEVELS):
        if k:
            boxes, children = downsample(boxes, (every_second(coded) != 0).any(1), None)
            active, coded = join_bricks(active, children), join_bricks(coded, children)
        top = k == SAMPLE_LEVELS - 1
        passes = torch.zeros(SLOTS, dtype=torch.uint8) if top else _pass_numbers()
        level = SampleLevel(
            boxes=boxes,
            children=children,
            active=active,
            coded=coded,
            neighbours=batch.neighbours(boxes),
            passes=batch.targets(boxes, coded, passes, 1 if top else len(PASSES)),
        )
        levels.append(level)
    return levels


def upsample_into(above: torch.Tensor, coarse: Boxes, values: torch.Tensor, fine: Boxes) -> None:
    """Copies the points (R, 512) of a coarser level to the even points of values (R', 512)."""
    parent, octant = fine.parents(coarse)
    eighths = above.view(-1, 2, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 8, 4, 4, 4)
    values[: fine.bricks].view(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2] = eighths[parent, octant]


def every_second(points: torch.Tensor) -> torch.Tensor:
    """(R, 64): the even points of bricks (R, 512)."""
    return points.view(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2].reshape(-1, SLOTS // 8)


def join_bricks(points: torch.Tensor, children: torch.Tensor) -> torch.Tensor:
    """(R, 512): the even points of each group of eight bricks, children (R, 8)."""
    eighths = every_second(points)[children].view(-1, 2, 2, 2, 4, 4, 4)
    return eighths.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, SLOTS)


def _pass_numbers() -> torch.Tensor:
    """(512,) uint8: the number in PASSES of each offset; even points have none."""
    point = np.stack(np.unravel_index(np.arange(SLOTS), (EDGE,) * 3), 1)
    numbers = np.full(SLOTS, NONE, np.uint8)
    for number, (axis, phase) in enumerate(PASSES):
        midway = (point[:, axis] % 2 == 1) & (point[:, axis + 1 :] % 2 == 0).all(1)
        halves = point // np.where(np.arange(3) < axis, 1, 2)
        numbers[midway & (halves.sum(1) % 2 == phase)] = number
    return torch.from_numpy(numbers)
