"""Twin of values/lattice/mean.py and values/lattice/mean_pyramid.py on a device, for all chunks of a batch at once."""

from __future__ import annotations

import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.bricks import Bricks, Destination, Differences, Neighbours, Targets
from neuralvdb.kernels.compand import companded, expanded
from neuralvdb.kernels.predict import predict
from neuralvdb.kernels.reconstruct import TOP
from neuralvdb.kernels.split import Cells, Companding, Halves, split
from neuralvdb.values.device.batch import Batch
from neuralvdb.values.device.boxes import Boxes, downsample
from neuralvdb.values.device.coding import PassCoder, PassDecoder, PassEncoder
from neuralvdb.values.device.models import DeviceModels
from neuralvdb.values.device.quantiser import compand, exact, finite
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.constants import (
    EDGE,
    LIMIT,
    MEAN_LEVELS,
    MEAN_ROOT_CLASS,
    MEAN_TOP_STEP,
    SHARES,
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

    axis: of the split;
    pairs: (R, 2) int64, the bricks of level j that each brick of level j + 1 joins;
    share: (R, 512) uint8, the first half's part of a cell's coded voxels, in 1/32;
    neighbours: of the bricks of level j + 1;
    passes: for both phases, the cells both of whose halves are coded.
    """

    axis: int
    pairs: torch.Tensor
    share: torch.Tensor
    neighbours: Neighbours
    passes: list[Targets]


class MeanLattice:
    """The mean lattice of a batch (lattice.Lattice)."""

    def __init__(self, batch: Batch, quantiser: Quantiser) -> None:
        self._batch, self._quantiser = batch, quantiser
        self._levels = [MeanLevel(boxes=batch.boxes, counts=batch.coded.to(torch.int32), active=batch.active)]
        self._splits: list[Split] = []
        for j in range(MEAN_LEVELS - 1):
            level, division = _joined(batch, self._levels[-1], split_axis(j))
            self._levels.append(level)
            self._splits.append(division)
        top, single = self._levels[-1], torch.zeros(SLOTS, dtype=torch.uint8)
        (self._root,) = batch.targets(top.boxes, (top.counts > 0).to(torch.uint8), single, 1)

    def encode(self, component: int, models: DeviceModels, buffer: SymbolBuffer) -> torch.Tensor:
        """As in Lattice."""
        exact_values = _ExactDifferences(self._batch, self._levels, self._splits, component, self._quantiser)
        coder = PassEncoder(exact_values, buffer, models.dead_zone, self._batch.implementation)
        return self._descend(component, models, coder, 0)

    def decode(self, component: int, models: DeviceModels, streams: Streams, lod: int) -> torch.Tensor:
        """As in Lattice."""
        coder = PassDecoder(streams, models.slots, self._batch.implementation)
        return self._descend(component, models, coder, lod)

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

    def _descend(self, component: int, models: DeviceModels, coder: PassCoder, lod: int) -> torch.Tensor:
        """Means (R, 512) int32 of cells of 2**lod voxels, level after level."""
        knee, nonnegative = self._quantiser.knee, self._quantiser.nonnegative
        means, points = self._blank_means(component), self._root.points.long()
        whole = coder.root(self._root, MEAN_TOP_STEP, MEAN_ROOT_CLASS)
        top = (whole * MEAN_TOP_STEP).clamp(0 if nonnegative else -TOP, TOP)
        means[-1].view(-1)[points] = expanded(top, knee).clamp(-TOP, TOP).to(torch.int32)
        above = companded(means[-1], knee).to(torch.int32)
        for j in mean_levels(lod):
            differences = self._differences(j, above, models, coder)
            cells = Cells(means=means.pop(), companded=above, differences=differences)
            above = companded(means[j], knee).to(torch.int32)
            pairs = self._splits[j].pairs[: self._levels[j + 1].boxes.bricks]
            halves = Halves(
                axis=self._splits[j].axis,
                pairs=pairs,
                counts=self._levels[j].counts,
                means=means[j],
                companded=above,
            )
            companding = Companding(knee=knee, nonnegative=nonnegative)
            split(cells, halves, companding, implementation=self._batch.implementation)
        return means[3 * lod]

    def _differences(self, j: int, above: torch.Tensor, models: DeviceModels, coder: PassCoder) -> torch.Tensor:
        """(R, 512) int32: differences of the halves on level j; above: (R, 512) int32, companded means of level
        j + 1."""
        level, division = self._levels[j + 1], self._splits[j]
        bricks = Bricks(values=above, active=level.active, neighbours=division.neighbours)
        values, known = torch.zeros_like(above), torch.zeros_like(level.active)
        differences = Differences(values=values, known=known, share=division.share)
        for pass_, targets in zip(mean_passes(j), division.passes, strict=True):
            predictions = predict(
                bricks,
                targets.points,
                models.predictors[pass_.network],
                pass_.quant_step,
                differences=differences,
                implementation=self._batch.implementation,
            )
            coder.code(pass_, predictions, Destination(targets=targets, values=values, known=known))
        return values

    def _blank_means(self, component: int) -> list[torch.Tensor]:
        """Means (R, 512) int32 of every level before decoding; those of coded cells are 0."""
        values = self._batch.blank_values(component, Quantiser(self._quantiser.unit))
        means = [values.masked_fill_((self._batch.coded != 0) | (self._batch.active == 0), 0)]
        for level, division in zip(self._levels[1:], self._splits, strict=True):
            first, second = halves_of(means[-1], division.pairs, division.axis)
            means.append(((first + second) >> 1).masked_fill_(level.counts > 0, 0))
        return means


class _ExactDifferences:
    """Twin of mean_pyramid.TrueMeans: sums (R, 512) float32 of every level. A level asked for frees those above it."""

    def __init__(
        self, batch: Batch, levels: list[MeanLevel], splits: list[Split], component: int, quantiser: Quantiser
    ) -> None:
        self._levels, self._splits, self._knee = levels, splits, quantiser.knee
        self._current: tuple[int, torch.Tensor] | None = None
        bricks = batch.boxes.bricks
        values = finite(exact(batch.leaves[..., component], Quantiser(quantiser.unit))).float()
        sums = values.new_zeros(batch.active.shape)
        sums[:bricks] = values.masked_fill_(batch.coded[:bricks] == 0, 0.0)
        self._sums = [sums]
        for division in splits:
            first, second = halves_of(self._sums[-1], division.pairs, division.axis)
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
            first, second = halves_of(self._companded(level), division.pairs, division.axis)
            self._current = level, first - second
        return self._current[1]

    def _companded(self, level: int) -> torch.Tensor:
        """(R, 512) float32: companded means of the coded cells of a level."""
        del self._sums[level + 1 :]
        return compand(self._sums[level] / self._levels[level].counts.clamp(min=1).float(), self._knee)


def _joined(batch: Batch, fine: MeanLevel, axis: int) -> tuple[MeanLevel, Split]:
    """The level of cells twice as long along an axis, and how it is split."""
    boxes, pairs = downsample(fine.boxes, (fine.counts > 0).any(1), axis)
    first, second = halves_of(fine.counts, pairs, axis)
    counts = first + second
    share = torch.div(SHARES * first, counts.clamp(min=1), rounding_mode="floor").to(torch.uint8)
    active = torch.maximum(*halves_of(fine.active, pairs, axis)).masked_fill_(counts > 0, 1)
    both = ((first > 0) & (second > 0)).to(torch.uint8)
    division = Split(
        axis=axis,
        pairs=pairs,
        share=share,
        neighbours=batch.neighbours(boxes),
        passes=batch.targets(boxes, both, _phases(), 2),
    )
    return MeanLevel(boxes=boxes, counts=counts, active=active), division


def _phases() -> torch.Tensor:
    """(512,) uint8: the phase of each offset, odd where the sum of its coordinates is."""
    offset = torch.arange(SLOTS)
    return ((offset >> 6) + (offset >> 3) + offset).bitwise_and_(1).to(torch.uint8)


def halves_of(fine: torch.Tensor, pairs: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second halves (R, 512) of the cells of each pair of bricks (R, 2) of fine (R', 512)."""
    bricks = fine.view(-1, EDGE, EDGE, EDGE)
    both = torch.cat([bricks[pairs[:, 0]], bricks[pairs[:, 1]]], 1 + axis).movedim(1 + axis, 1)
    first, second = (both[:, half::2].movedim(1, 1 + axis).reshape(-1, SLOTS) for half in (0, 1))
    return first, second
