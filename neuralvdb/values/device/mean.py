"""Twin of values/lattice/mean.py and values/lattice/mean_pyramid.py on a device, for all chunks of a batch at once."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from neuralvdb.archive.device import upload
from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Bricks, Destination, Differences, Neighbours, Targets
from neuralvdb.kernels.compact import Flags, compact
from neuralvdb.kernels.compand import companded, expanded
from neuralvdb.kernels.levels import Joined, Means, Pairs, join_cells, join_means
from neuralvdb.kernels.levels.reference import halves_of
from neuralvdb.kernels.predict import predict
from neuralvdb.kernels.reconstruct import TOP
from neuralvdb.kernels.split import Cells, Companding, Halves, split
from neuralvdb.values.device.batch import Batch
from neuralvdb.values.device.boxes import Boxes, downsample, neighbours_of
from neuralvdb.values.device.coding import PassCoder, PassDecoder, PassEncoder
from neuralvdb.values.device.models import DeviceModels
from neuralvdb.values.device.pass_offsets import all_in_one, phases
from neuralvdb.values.device.quantiser import compand, exact, finite
from neuralvdb.values.device.reference import LevelBricks, PassInnovations, corrected
from neuralvdb.values.device.reference_means import ReferenceMeans
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.constants import (
    LIMIT,
    MEAN_LEVELS,
    MEAN_ROOT_CLASS,
    MEAN_TOP_STEP,
    SLOTS,
)
from neuralvdb.values.lattice.pass_order import mean_levels, mean_passes, split_axis


@dataclass(frozen=True, kw_only=True)
class MeanLevel:
    """A level of all chunks: bricks of cells; on level 0 these are voxels.

    boxes: of its bricks;
    counts: (R, 512) int32, coded voxels of each cell;
    active: (R, 512) uint8, whether a cell is coded or has an active voxel.
    """

    boxes: Boxes
    counts: torch.Tensor
    active: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the cells of level j + 1 are split into those of level j.

    pairs: the bricks of level j that each brick of level j + 1 joins;
    share: (R, 512) uint8, the first half's part of a cell's coded voxels, in 1/32;
    neighbours: of the bricks of level j + 1;
    passes: for both phases, the cells both of whose halves are coded.
    """

    pairs: Pairs
    share: torch.Tensor
    neighbours: Neighbours
    passes: list[Targets]


class MeanLattice:
    """The mean lattice of a batch (lattice.Lattice)."""

    def __init__(self, batch: Batch, quantiser: Quantiser) -> None:
        self._batch, self._quantiser = batch, quantiser
        self._levels, self._splits, self._root = _levels(batch)

    def encode(self, models: DeviceModels, buffer: SymbolBuffer) -> torch.Tensor:
        """As in Lattice."""
        exact_values = _ExactDifferences(self._batch, self._levels, self._splits, self._quantiser)
        coder = PassEncoder(exact_values, buffer, models.dead_zone, self._batch.implementation)
        return self._descend(models, self._corrected(models, coder, 0), 0)

    def decode(self, models: DeviceModels, streams: Streams, lod: int) -> torch.Tensor:
        """As in Lattice."""
        coder = PassDecoder(streams, models.slots, self._batch.implementation)
        return self._descend(models, self._corrected(models, coder, lod), lod)

    def cells(self, lod: int) -> tuple[Boxes, torch.Tensor]:
        """As in Lattice."""
        level = self._levels[3 * lod]
        return level.boxes, (level.counts > 0).to(torch.uint8)

    def values(self, lattice_values: torch.Tensor) -> torch.Tensor:
        """As in Lattice: means are not companded."""
        return lattice_values.double() * self._quantiser.unit

    def holds(self, true: torch.Tensor) -> torch.Tensor:
        """As in Lattice."""
        return true.abs() <= LIMIT * self._quantiser.unit

    def _corrected(self, models: DeviceModels, coder: PassCoder, lod: int) -> PassCoder:
        """A coder whose predictions a reference corrects, where there is one."""
        if models.correction is None:
            return coder
        voxels = self._batch.whole_reference(Quantiser(self._quantiser.unit)).long()
        pairs, counts = [each.pairs for each in self._splits], [level.counts for level in self._levels]
        implementation = self._batch.implementation
        reference = ReferenceMeans(voxels, pairs, counts, self._quantiser.knee, implementation)
        missed = PassInnovations(reference, implementation)
        self._descend(models, missed, lod)
        return corrected(coder, missed, models.correction, self._coded_bricks)

    @cached_property
    def _coded_bricks(self) -> dict[int, LevelBricks]:
        """Of every level whose cells are split, by the numbers of those they are split into."""
        boxes = [level.boxes for level in self._levels[1:]]
        parents = [*upload([fine.parents(coarse) for fine, coarse in pairwise(boxes)], self._batch.device), None]
        return {
            j: LevelBricks(bricks=boxes[j].bricks, parents=parents[j], split_axes=4 >> split_axis(j + 1))
            for j in mean_levels()
        }

    def _descend(self, models: DeviceModels, coder: PassCoder, lod: int) -> torch.Tensor:
        """Means (R, 512) int32 of cells of 2**lod voxels, level after level."""
        knee, nonnegative = self._quantiser.knee, self._quantiser.nonnegative
        known, points = self._blank_means(), self._root.points.long()
        top = coder.root(self._root, MEAN_TOP_STEP, MEAN_ROOT_CLASS)
        top = expanded(top.clamp(0 if nonnegative else -TOP, TOP), knee).clamp(-TOP, TOP)
        known[-1].means.view(-1)[points] = top.to(torch.int32)
        known[-1].companded.view(-1)[points] = companded(top, knee).to(torch.int32)
        rule, blank = Companding(knee=knee, nonnegative=nonnegative), self._blank_differences()
        for j in mean_levels(lod):
            above, below, division = known.pop(), known[j], self._splits[j]
            differences = self._differences(j, above.companded, blank[j], models, coder)
            cells = Cells(means=above.means, companded=above.companded, differences=differences)
            halves = Halves(
                axis=division.pairs.axis,
                pairs=division.pairs.bricks[: self._levels[j + 1].boxes.bricks],
                counts=self._levels[j].counts,
                means=below.means,
                companded=below.companded,
            )
            split(cells, halves, rule, implementation=self._batch.implementation)
        return known[3 * lod].means

    def _blank_differences(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of every level but the coarsest, differences (R, 512) int32 and which are known (R, 512) uint8, all 0."""
        bricks, device = [len(level.counts) for level in self._levels[1:]], self._batch.device
        values, known = (
            torch.zeros((sum(bricks), SLOTS), dtype=dtype, device=device) for dtype in (torch.int32, torch.uint8)
        )
        return list(zip(values.split(bricks), known.split(bricks), strict=True))

    def _differences(
        self,
        j: int,
        above: torch.Tensor,
        blank: tuple[torch.Tensor, torch.Tensor],
        models: DeviceModels,
        coder: PassCoder,
    ) -> torch.Tensor:
        """(R, 512) int32: differences of the halves on level j, in the blank ones; above: (R, 512) int32, companded
        means of level j + 1."""
        level, division = self._levels[j + 1], self._splits[j]
        values, known = blank
        differences = Differences(values=values, known=known, share=division.share)
        near = division.neighbours
        bricks = Bricks(values=above, active=level.active, neighbours=near, differences=differences)
        for pass_, targets in zip(mean_passes(j), division.passes, strict=True):
            predictions = predict(
                bricks,
                targets.points,
                models.predictors[pass_.network],
                pass_.quant_step,
                room=coder.room(len(targets)),
                implementation=self._batch.implementation,
            )
            coder.code(pass_, predictions, Destination(targets=targets, values=values, known=known))
        return values

    def _blank_means(self) -> list[Means]:
        """Means of every level before decoding; those of coded cells are 0."""
        bricks = [len(level.counts) for level in self._levels[1:]]
        room = torch.empty((2 * sum(bricks), SLOTS), dtype=torch.int32, device=self._batch.device).split(bricks * 2)
        values = self._batch.blank_constants(Quantiser(self._quantiser.unit))
        known = [Means(means=values, companded=torch.empty(values.shape, dtype=torch.int32, device=values.device))]
        for j, division in enumerate(self._splits):
            known.append(Means(means=room[j], companded=room[len(bricks) + j]))
            join_means(
                known[-2].means,
                division.pairs,
                self._levels[j + 1].counts,
                self._quantiser.knee,
                known[-1],
                implementation=self._batch.implementation,
            )
        return known


class _ExactDifferences:
    """Twin of mean_pyramid.TrueMeans: sums (R, 512) float32 of every level. A level asked for frees those above it."""

    def __init__(self, batch: Batch, levels: list[MeanLevel], splits: list[Split], quantiser: Quantiser) -> None:
        self._levels, self._splits, self._knee = levels, splits, quantiser.knee
        self._current: tuple[int, torch.Tensor] | None = None
        values, leaves = finite(exact(batch.leaves, Quantiser(quantiser.unit))).float(), len(batch.leaves)
        sums = values.new_zeros(batch.active.shape)
        sums[:leaves] = values.masked_fill_(batch.coded[:leaves] == 0, 0.0)
        self._sums = [sums]
        for division in splits:
            first, second = halves_of(self._sums[-1], division.pairs)
            self._sums.append(first + second)

    def top(self) -> torch.Tensor:
        """As in ExactValues: companded means."""
        return self._companded(MEAN_LEVELS - 1)

    def level(self, level: int) -> torch.Tensor:
        """As in ExactValues: of cells of level + 1 both of whose halves are coded, the companded mean of the first half
        less that of the second."""
        if self._current is None or self._current[0] != level:
            self._current = None
            division = self._splits[level]
            first, second = halves_of(self._companded(level), division.pairs)
            self._current = level, first - second
        return self._current[1]

    def _companded(self, level: int) -> torch.Tensor:
        """(R, 512) float32: companded means of the coded cells of a level."""
        del self._sums[level + 1 :]
        return compand(self._sums[level] / self._levels[level].counts.clamp(min=1).float(), self._knee)


def _levels(batch: Batch) -> tuple[list[MeanLevel], list[Split], Targets]:
    """All levels from voxels up, how each is split, and the cells of the coarsest level."""
    boxes, device = _all_boxes(batch), batch.device
    pairs = [
        Pairs(bricks=bricks, axis=split_axis(j))
        for j, bricks in enumerate(upload([level.children for level in boxes[1:]], device))
    ]
    levels = [MeanLevel(boxes=boxes[0], counts=batch.coded.to(torch.int32), active=batch.active)]
    joined = _rooms(boxes, device)
    for above, each, coarse in zip(joined, pairs, boxes[1:], strict=True):
        join_cells(levels[-1].counts, levels[-1].active, each, above, implementation=batch.implementation)
        levels.append(MeanLevel(boxes=coarse, counts=above.counts, active=above.active))
    flags = [
        Flags(flags=above.both, passes=phases(device), count=2, begins=coarse.starts.tolist())
        for above, coarse in zip(joined, boxes[1:], strict=True)
    ]
    is_coded = (levels[-1].counts > 0).to(torch.uint8)
    top = Flags(flags=is_coded, passes=all_in_one(device), count=1, begins=boxes[-1].starts.tolist())
    *passes, (root,) = compact([*flags, top], implementation=batch.implementation)
    neighbours = neighbours_of(boxes[1:], device, batch.implementation)
    splits = [
        Split(pairs=each, share=above.share, neighbours=near, passes=of_level)
        for each, above, near, of_level in zip(pairs, joined, neighbours, passes, strict=True)
    ]
    return levels, splits, root


def _all_boxes(batch: Batch) -> list[Boxes]:
    """Those of all levels."""
    boxes, coded = [batch.boxes], np.zeros(batch.bricks // batch.components, bool)
    coded[: len(batch.masks)] = batch.masks.view(np.uint64).any(1)
    for j in range(MEAN_LEVELS - 1):
        boxes.append(downsample(boxes[-1], coded, split_axis(j)))
        coded = coded[boxes[-1].children].any(1)
    return batch.levels(boxes)


def _rooms(boxes: list[Boxes], device: torch.device) -> list[Joined]:
    """Room for the cells of all levels but the finest."""
    bricks = [len(level.children) for level in boxes[1:]]
    counts = torch.empty((sum(bricks), SLOTS), dtype=torch.int32, device=device).split(bricks)
    flags = torch.empty((3 * sum(bricks), SLOTS), dtype=torch.uint8, device=device).split(bricks * 3)
    return [
        Joined(counts=counts[j], active=flags[j], share=flags[len(bricks) + j], both=flags[2 * len(bricks) + j])
        for j in range(len(bricks))
    ]
