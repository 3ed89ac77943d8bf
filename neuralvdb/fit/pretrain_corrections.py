"""Pretrains the networks that correct predictions by a reference, on what they would have seen of grids that have one.

Letters in shapes: n examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from neuralvdb.dataclass import dataclass
from neuralvdb.values import Promise, by_component
from neuralvdb.values.lattice import mean_inputs, priors, sample_inputs, tables
from neuralvdb.values.lattice.chunks import ChunkComponent, chunks_of
from neuralvdb.values.lattice.constants import CLASS_OF_ONE_STEP, SCALE_CLASSES
from neuralvdb.values.lattice.correction_network import (
    GAIN_BITS,
    HIDDEN,
    INPUTS,
    OUTPUTS,
    CorrectionInputs,
    CorrectionNetwork,
    inputs_of,
)
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.mean import MeanLattice
from neuralvdb.values.lattice.mean_pyramid import MeanLevel, shares
from neuralvdb.values.lattice.native import NativeLattice
from neuralvdb.values.lattice.nearby import Nearby
from neuralvdb.values.lattice.network import Predictions
from neuralvdb.values.lattice.pass_order import Pass, all_passes
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.reference import Correction, Reference, ReferenceValues
from neuralvdb.values.lattice.sample import SampleLattice
from neuralvdb.volume import Tree

_ONE = 128  # that inputs and hidden units count as one
_CLASSES = 4  # scale classes that double a width
_BATCH, _RATE = 2048, 6e-3
_FAR = 1e4  # steps beyond which nothing is learned
_TAIL, _WIDER, _NARROWER = 0.12, 3.0, 0.5  # the mixture of logistic distributions: see loss.py
_RARE = 1e-9
_EVEN_OUT = 200  # examples that are added to those of a grid before it is weighted by their root
_MOST_WEIGHT, _MOST_SHIFT = 127, 20


@dataclass(frozen=True)
class CorrectionExamples:
    """n points of grids with a reference.

    inputs: (n, 23) int8. sources: (n, 3) float32, what outputs are factors of, in steps. errors: (n,) float32 of
    predictions that are not corrected, in steps. scale_classes: (n,) uint8.
    """

    inputs: np.ndarray
    sources: np.ndarray
    errors: np.ndarray
    scale_classes: np.ndarray

    @classmethod
    def joined(cls, examples: Sequence[CorrectionExamples]) -> CorrectionExamples:
        """All of several."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(each, name) for each in examples]) for name in names})


@dataclass(frozen=True)
class ReferredGrid:
    """A grid to learn from. said: what its reference says, float64 of the shape of the leaves' values."""

    tree: Tree
    promise: Promise
    said: np.ndarray


def examples_of(grid: ReferredGrid, network: CorrectionNetwork | None) -> CorrectionExamples:
    """Every point of a grid, under the shipped predictors. network: that corrects them meanwhile."""
    tree, mode = grid.tree, grid.promise.mode
    prior, zones = priors.load(mode.family), np.zeros(SCALE_CLASSES)
    if mode.lattice is LatticeKind.MEAN:
        zones = tables.dead_zones(mode.family, priors.shipped().freq)
    lattice_type = MeanLattice if mode.lattice is LatticeKind.MEAN else SampleLattice
    lattice = lattice_type(quantiser=grid.promise.quantiser, predictor=Predictor(prior.networks), dead_zones=zones)
    reference = ReferenceValues.over(tree, grid.said, Correction())
    all_examples: list[CorrectionExamples] = []
    for chunk in chunks_of(tree):
        for component in range(by_component(tree.leaf).shape[2]):
            coded = ChunkComponent.of(tree, chunk, component)
            all_examples += _of_component(coded, reference.of(tree, chunk, component), lattice, network)
    return CorrectionExamples.joined(all_examples)


def _of_component(
    coded: ChunkComponent, reference: Reference, lattice: SampleLattice | MeanLattice, network: CorrectionNetwork | None
) -> Iterator[CorrectionExamples]:
    kind = LatticeKind.MEAN if isinstance(lattice, MeanLattice) else LatticeKind.SAMPLE
    missed = NativeLattice(kind, lattice.quantiser, lattice.predictor).compare(coded, reference)
    pyramid, nearby = lattice.blank_pyramid(coded), Nearby()
    for coding, of_pass in zip(all_passes(kind), missed, strict=True):
        errors, scale_classes, innovations = of_pass.errors, of_pass.scale_classes, of_pass.innovations
        level, points = _points_of(pyramid, coding)
        nearby.enter(level, coding.level, coding.quant_step)
        visible = inputs_of(scale_classes, innovations.astype(np.int64), coding, nearby.blocks(points))
        decoded = _decoded(errors, scale_classes, visible, coding, lattice.dead_zones, network)
        nearby.add(points, decoded, innovations.astype(np.int64))
        sources = (visible.sources / coding.quant_step).astype(np.float32)
        yield CorrectionExamples(visible.inputs.astype(np.int8), sources, errors, scale_classes)


def _decoded(
    errors: np.ndarray,
    scale_classes: np.ndarray,
    visible: CorrectionInputs,
    coding: Pass,
    dead_zones: np.ndarray,
    network: CorrectionNetwork | None,
) -> np.ndarray:
    """(n,) int64: by how much decoded values are not as they were predicted, before anything corrects that."""
    corrected = Predictions(np.zeros(len(errors), np.int32), scale_classes)
    if network is not None:
        corrected = network.correct(corrected, visible)
    left = np.nan_to_num(errors.astype(np.float64)) - corrected.values / coding.quant_step
    size = np.floor(np.abs(left) + 0.5 - dead_zones[corrected.scale_classes])
    return (np.sign(left) * size).astype(np.int64) * coding.quant_step + corrected.values


def _points_of(pyramid: list[LatticeLevel] | list[MeanLevel], coding: Pass) -> tuple[LatticeLevel, Points]:
    """The points of a pass, and the level whose bricks they are in."""
    if isinstance(pyramid[0], LatticeLevel):
        level = pyramid[coding.level]
        return level, sample_inputs.targets(level, coding.axis, coding.phase)
    above, fine = pyramid[coding.level + 1], pyramid[coding.level]
    assert isinstance(above, MeanLevel) and isinstance(fine, MeanLevel)
    _, both = shares(above, fine, coding.axis, "native")
    level = LatticeLevel(above.low, above.table, np.zeros((above.bricks, 0)), np.zeros((above.bricks, 0)), above.coded)
    return level, mean_inputs.targets(both[: above.bricks], coding.phase)


def pretrain_corrections(grids: Sequence[ReferredGrid], iterations: int, seed: int) -> CorrectionNetwork:
    """The network of a family, trained on what it sees uncorrected, then on what it sees as the first one corrects."""
    first = _pretrained([examples_of(grid, None) for grid in grids], iterations // 2, seed)
    return _pretrained([examples_of(grid, first) for grid in grids], iterations, seed)


def _pretrained(grids: Sequence[CorrectionExamples], iterations: int, seed: int) -> CorrectionNetwork:
    """A network. grids: examples of each grid, small ones counting for more than they are."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weights = np.concatenate([np.full(len(g.errors), (len(g.errors) + _EVEN_OUT) ** -0.5) for g in grids])
    cumulative, examples = np.cumsum(weights / weights.sum()), CorrectionExamples.joined(grids)
    first, second = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)
    nn.init.zeros_(second.weight)
    second.bias.data = torch.tensor([0.5, 0.0, 0.0, 0.0])
    learnt = [*first.parameters(), *second.parameters()]
    optimiser = torch.optim.Adam(learnt, _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=iterations)
    for _ in range(iterations):
        drawn = np.searchsorted(cumulative, rng.random(_BATCH)).clip(0, len(cumulative) - 1)
        inputs = torch.from_numpy(examples.inputs[drawn].astype(np.float32) / _ONE)
        out = second(torch.relu(first(inputs)).clamp_max(2))
        loss = _bits(out, examples, drawn).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1)
        optimiser.step()
        schedule.step()
    return _to_integers(first, second)


def _bits(out: torch.Tensor, examples: CorrectionExamples, drawn: np.ndarray) -> torch.Tensor:
    """(n,) bits of errors that outputs (n, 4) leave: gains, and log2 of what widths are multiplied by."""
    sources = torch.from_numpy(examples.sources[drawn].clip(-_FAR, _FAR))
    errors = torch.from_numpy(examples.errors[drawn].clip(-_FAR, _FAR))
    classes = torch.from_numpy(examples.scale_classes[drawn].astype(np.float32))
    size = (errors - (out[:, :3] * sources).sum(1)).abs()
    width = _NARROWER * torch.exp2((classes - CLASS_OF_ONE_STEP) / _CLASSES + out[:, 3])
    probability = torch.zeros_like(size)
    for share, wide in ((1 - _TAIL, width), (_TAIL, width * _WIDER)):
        probability += share * (torch.sigmoid((0.5 - size) / wide) - torch.sigmoid((-0.5 - size) / wide))
    return -torch.log2(probability.clamp_min(_RARE))


def _to_integers(first: nn.Linear, second: nn.Linear) -> CorrectionNetwork:
    """The integer network nearest to a trained one."""
    units = [1 << GAIN_BITS] * 3 + [_CLASSES]
    w1, b1, shift = _rounded(first, slice(None), _ONE)
    last = [_rounded(second, slice(i, i + 1), unit) for i, unit in enumerate(units)]
    return CorrectionNetwork(
        w1=w1,
        b1=b1,
        w2=np.concatenate([w for w, _, _ in last]),
        b2=np.concatenate([b for _, b, _ in last]),
        shifts=np.array([shift, *(s for _, _, s in last)], np.int8),
    )


def _rounded(layer: nn.Linear, rows: slice, unit: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights int8, biases int32 and the shift of rows of a layer that sees 1/128 and gives 1/unit."""
    weights = layer.weight.detach().numpy()[rows].astype(np.float64) * unit / _ONE
    biases = layer.bias.detach().numpy()[rows].astype(np.float64) * unit
    shift = int(np.clip(np.floor(np.log2(_MOST_WEIGHT / (np.abs(weights).max() + _RARE))), 0, _MOST_SHIFT))
    whole = np.rint(weights * 2**shift).clip(-_MOST_WEIGHT, _MOST_WEIGHT).astype(np.int8)
    return whole, np.rint(biases * 2**shift).astype(np.int32) + (1 << shift >> 1), shift
