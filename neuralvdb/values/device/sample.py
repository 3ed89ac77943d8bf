"""Twin of values/lattice/sample.py on a device, for all chunks of a batch at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from neuralvdb.archive.device import upload
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Bricks, Destination, Neighbours, Targets
from neuralvdb.kernels.compact import Flags, compact
from neuralvdb.kernels.levels import join_bricks, upsample_into
from neuralvdb.kernels.predict import predict
from neuralvdb.kernels.reconstruct import TOP
from neuralvdb.values.device.batch import Batch
from neuralvdb.values.device.boxes import Boxes, downsample, neighbours_of
from neuralvdb.values.device.coding import PassCoder, PassDecoder, PassEncoder
from neuralvdb.values.device.models import DeviceModels
from neuralvdb.values.device.pass_offsets import all_in_one, pass_numbers
from neuralvdb.values.device.quantiser import exact, expand, finite
from neuralvdb.values.device.reference import LevelBricks, PassInnovations, corrected
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
    parents: (B,) int32, as kernels/levels takes them; None on the coarsest level;
    active, coded: (R, 512) uint8;
    neighbours: of its bricks;
    passes: the points of each pass; on the coarsest level of one, of all coded points.
    """

    boxes: Boxes
    children: torch.Tensor
    parents: torch.Tensor | None
    active: torch.Tensor
    coded: torch.Tensor
    neighbours: Neighbours
    passes: list[Targets]


class SampleLattice:
    """The sample lattice of a batch (lattice.Lattice)."""

    def __init__(self, batch: Batch, quantiser: Quantiser) -> None:
        self._batch, self._quantiser = batch, quantiser
        self.levels = _levels(batch)

    def encode(self, models: DeviceModels, buffer: SymbolBuffer) -> torch.Tensor:
        """As in Lattice."""
        exact_values = _Samples(self._batch, self.levels, _exact_voxels(self._batch, self._quantiser))
        coder = PassEncoder(exact_values, buffer, None, self._batch.implementation)
        return self._descend(models, self._corrected(models, coder, 0), 0)

    def decode(self, models: DeviceModels, streams: Streams, lod: int) -> torch.Tensor:
        """As in Lattice."""
        coder = PassDecoder(streams, models.slots, self._batch.implementation)
        return self._descend(models, self._corrected(models, coder, lod), lod)

    def cells(self, lod: int) -> tuple[Boxes, torch.Tensor]:
        """As in Lattice."""
        return self.levels[lod].boxes, self.levels[lod].coded

    def values(self, lattice_values: torch.Tensor) -> torch.Tensor:
        """As in Lattice."""
        return expand(self._quantiser, lattice_values)

    def holds(self, true: torch.Tensor) -> torch.Tensor:
        """As in Lattice: the bound says all."""
        return torch.ones_like(true, dtype=torch.bool)

    def _corrected(self, models: DeviceModels, coder: PassCoder, lod: int) -> PassCoder:
        """A coder whose predictions a reference corrects, where there is one."""
        if models.correction is None:
            return coder
        reference = _Samples(self._batch, self.levels, self._batch.whole_reference(self._quantiser))
        missed = PassInnovations(reference, self._batch.implementation)
        self._descend(models, missed, lod)
        return corrected(coder, missed, models.correction, self._coded_bricks())

    def _coded_bricks(self) -> dict[int, LevelBricks]:
        """Of every level with passes."""
        first, *below = sample_levels()
        bricks = {first: LevelBricks(bricks=self.levels[first].boxes.bricks, parents=None)}
        for k in below:
            bricks[k] = LevelBricks(bricks=self.levels[k].boxes.bricks, parents=self.levels[k].parents, split_axes=7)
        return bricks

    def _descend(self, models: DeviceModels, coder: PassCoder, lod: int) -> torch.Tensor:
        """Lattice values (R, 512) int32 of level `lod`, pass after pass of all levels above it."""
        values = [self._batch.blank_values(self._quantiser)]
        for level in self.levels[1:]:
            values.append(join_bricks(values[-1], level.children, implementation=self._batch.implementation))
        (root,) = self.levels[-1].passes
        top = coder.root(root, SAMPLE_STEPS[-1], SAMPLE_ROOT_CLASS)
        values[-1].view(-1)[root.points.long()] = top.clamp(-TOP, TOP).to(torch.int32)
        for k in sample_levels(lod):
            parents = self.levels[k].parents
            assert parents is not None  # there is a coarser level
            upsample_into(values.pop(), parents, values[k], implementation=self._batch.implementation)
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
                room=coder.room(len(targets)),
                implementation=self._batch.implementation,
            )
            coder.code(pass_, predictions, Destination(targets=targets, values=values))


class _Samples:
    """Values of every level, of which those of voxels (R, 512) are given: exact ones, or of a reference."""

    def __init__(self, batch: Batch, levels: list[SampleLevel], values: torch.Tensor) -> None:
        self._levels = [values]
        for level in levels[1:]:
            joined = join_bricks(self._levels[-1], level.children, implementation=batch.implementation)
            self._levels.append(joined)

    def top(self) -> torch.Tensor:
        """As in ExactValues and WholeValues."""
        return self._levels[-1]

    def level(self, level: int) -> torch.Tensor:
        """As in ExactValues and WholeValues."""
        return self._levels[level]


def _exact_voxels(batch: Batch, quantiser: Quantiser) -> torch.Tensor:
    """Exact lattice values (R, 512) float64."""
    values = batch.leaves.new_zeros(batch.active.shape, dtype=torch.float64)
    values[: len(batch.leaves)] = finite(exact(batch.leaves, quantiser))
    return values


def _levels(batch: Batch) -> list[SampleLevel]:
    """All levels, from voxels up."""
    implementation, device = batch.implementation, batch.device
    boxes = _all_boxes(batch)
    children = upload([level.children for level in boxes], device)
    parents = [*upload([fine.parents(coarse) for fine, coarse in pairwise(boxes)], device), None]
    active, coded = [batch.active], [batch.coded]
    for joined in children[1:]:
        active.append(join_bricks(active[-1], joined, implementation=implementation))
        coded.append(join_bricks(coded[-1], joined, implementation=implementation))
    passes = compact(_flags(boxes, coded), implementation=implementation)
    neighbours = neighbours_of(boxes, device, implementation)
    return [
        SampleLevel(
            boxes=boxes[k],
            children=children[k],
            parents=parents[k],
            active=active[k],
            coded=coded[k],
            neighbours=neighbours[k],
            passes=passes[k],
        )
        for k in range(SAMPLE_LEVELS)
    ]


def _flags(boxes: list[Boxes], coded: list[torch.Tensor]) -> list[Flags]:
    """In which passes the coded points of each level are: on the coarsest in one."""
    device = coded[0].device
    passes = [pass_numbers(device)] * (SAMPLE_LEVELS - 1) + [all_in_one(device)]
    return [
        Flags(
            flags=coded[k],
            passes=passes[k],
            count=1 if k == SAMPLE_LEVELS - 1 else len(PASSES),
            begins=boxes[k].starts.tolist(),
        )
        for k in range(SAMPLE_LEVELS)
    ]


def _all_boxes(batch: Batch) -> list[Boxes]:
    """Those of all levels."""
    boxes, bricks = [batch.boxes], batch.bricks // batch.components
    holds = np.zeros((bricks, SAMPLE_LEVELS - 1), bool)  # whether every 2**k-th point along each axis is a coded one
    words = batch.masks.view(np.uint64)
    for k, pattern in enumerate(_every_power().view(np.uint64)):
        holds[: len(words), k] = (words & pattern).any(1)
    while len(boxes) < SAMPLE_LEVELS:
        boxes.append(downsample(boxes[-1], holds[:, 1], None))
        of_children = holds[boxes[-1].children]
        corner = of_children[:, :1, -1]  # of eight bricks the first one alone has a point that coarse
        holds = np.concatenate([of_children[:, :, 1:].any(1), corner], 1)
    return batch.levels(boxes)


def _every_power() -> np.ndarray:
    """(4, 64) uint8, bits: points whose coordinates are multiples of 2**k."""
    point = np.stack(np.unravel_index(np.arange(SLOTS), (EDGE,) * 3), 1)
    steps = 1 << np.arange(SAMPLE_LEVELS - 1)
    return np.packbits((point % steps[:, None, None] == 0).all(2), axis=1, bitorder="little")
