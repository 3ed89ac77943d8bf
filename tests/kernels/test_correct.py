"""Predictions corrected by a reference: the package's NumPy definition = the reference = the kernels, by gains and by
networks, whichever axes a level has split, and at the limits."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.bricks import Destination, Predictions, Targets
from neuralvdb.kernels.correct import (
    BLOCKS,
    SUMS,
    Above,
    PassView,
    Weights,
    add_errors,
    correct_by_gain,
    correct_by_network,
    innovations_of,
)
from neuralvdb.values.lattice import correction_network, network
from neuralvdb.values.lattice.correction_network import inputs_of
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.nearby import Nearby
from neuralvdb.values.lattice.pass_order import mean_pass, sample_pass
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.reference import GAINS, Correction

IMPLEMENTATIONS = ("reference", "triton")
FAMILIES = ("fog", "fog-mean", "velocity", "levelset")
SHAPE = (4, 2, 4)  # bricks of a level
CODED = 25  # of them
SPLIT_AXES = {"all": 7, "x": 4, "y": 2, "z": 1}  # on which the level above differs


def to(device: str, array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def spread(rng: np.random.Generator, largest: int, n: int) -> np.ndarray:
    """Integers of all sizes."""
    return rng.integers(-largest, largest + 1, n) >> rng.integers(0, 31, n)


def predicted(rng: np.random.Generator, largest: int, n: int) -> network.Predictions:
    return network.Predictions(spread(rng, largest, n).astype(np.int32), rng.integers(0, 64, n).astype(np.uint8))


def on_device(device: str, predictions: network.Predictions) -> Predictions:
    values = to(device, predictions.values.astype(np.int64))
    return Predictions(values=values, scale_classes=to(device, predictions.scale_classes.copy()))


def assert_equal(predictions: Predictions, expected: network.Predictions) -> None:
    np.testing.assert_array_equal(predictions.values.cpu(), expected.values)
    np.testing.assert_array_equal(predictions.scale_classes.cpu(), expected.scale_classes)


def targets_of(device: str, points: np.ndarray) -> Targets:
    starts = torch.tensor([0, len(points)], device=device)
    return Targets(points=to(device, points.astype(np.int32)), starts=starts)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("n", [0, 1, 511, 513])
@pytest.mark.parametrize("marks", [False, True])
def test_innovations(device, implementation, n, marks):
    rng = np.random.default_rng(n)
    reference, points = spread(rng, 1 << 28, 1024).astype(np.int32), rng.permutation(1024)[:n]
    predictions, values = predicted(rng, 1 << 30, n), np.full(1024, -7, np.int32)
    written, marked = to(device, values), to(device, np.zeros(1024, np.uint8))
    destination = Destination(targets=targets_of(device, points), values=written, known=marked if marks else None)
    innovations = innovations_of(
        to(device, reference), on_device(device, predictions), destination, implementation=implementation
    )
    values[points] = reference[points]
    np.testing.assert_array_equal(innovations.cpu(), reference[points] - predictions.values)
    np.testing.assert_array_equal(written.cpu(), values)
    np.testing.assert_array_equal(marked.cpu(), np.isin(np.arange(1024), points) & marks)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("shifts", [(-3, -1, 0, 4, 9), (-32, 32, -32, 32, 0)])
@pytest.mark.parametrize(("n", "level"), [(0, 0), (1, 3), (513, 0), (700, 2)])
def test_gains(device, implementation, shifts, n, level):
    rng, coding = np.random.default_rng(n), sample_pass(level, 1, 0)
    correction = Correction(gains=(16, 0, 5, *[7] * (GAINS - 3)), shifts=shifts)
    predictions = predicted(rng, 1 << 30, n)
    innovations = spread(rng, (1 << 30) + (1 << 28), n).astype(np.int32)
    innovations[::3] = (rng.integers(-8, 9, n)[::3] * coding.quant_step) // 2  # sizes meet their limits
    corrected = on_device(device, predictions)
    gain, told = correction.gains[level], to(device, innovations)
    correct_by_gain(corrected, told, gain, shifts, coding.quant_step, implementation=implementation)
    assert_equal(corrected, correction.apply(predictions, innovations, coding))


def level_of(rng: np.random.Generator, shape: tuple[int, ...], coded: int) -> LatticeLevel:
    table = rng.permutation(np.prod(shape)).astype(np.int32).reshape(shape)
    blank = np.zeros((table.size, 512), np.int32)
    return LatticeLevel(np.zeros(3, np.int64), table, blank, blank.astype(np.uint8), blank[:coded].astype(np.uint8))


def some_points(rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    return np.sort(rng.permutation(count * 512)[:n])


def lattice_points(points: np.ndarray) -> Points:
    return Points((points // 512).astype(np.int32), (points % 512).astype(np.int16))


class Learned:
    """Sums of errors of both levels, by the definition and by an implementation."""

    def __init__(self, device: str, implementation: str) -> None:
        self.nearby, self.device, self.implementation = Nearby(), device, implementation

    def sums(self, rng: np.random.Generator, level: LatticeLevel, number: int, step: int, n: int) -> torch.Tensor:
        """Of a level, n of whose points are decoded, in two passes."""
        self.nearby.enter(level, number, step)
        sums = torch.zeros((level.bricks, SUMS, BLOCKS), dtype=torch.int64, device=self.device)
        for points in np.array_split(rng.permutation(some_points(rng, level.bricks, n)), 2):
            values, innovations = np.zeros(level.bricks * 512, np.int32), spread(rng, 1 << 30, len(points))
            values[points], before = spread(rng, 1 << 28, len(points)), spread(rng, 1 << 30, len(points))
            self.nearby.add(lattice_points(points), values[points].astype(np.int64) - before, innovations)
            destination = Destination(targets=targets_of(self.device, points), values=to(self.device, values))
            add_errors(
                destination,
                to(self.device, before.astype(np.int32)),
                to(self.device, innovations.astype(np.int32)),
                sums,
                implementation=self.implementation,
            )
        return sums


def parents_of(level: LatticeLevel, above: LatticeLevel, split: np.ndarray) -> np.ndarray:
    brick, bits = level.cells[: level.bricks] // split, level.cells[: level.bricks] % split
    return (8 * above.table[tuple(brick.T)] + bits @ (4, 2, 1)).astype(np.int32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("axes", [None, *SPLIT_AXES])
@pytest.mark.parametrize("decoded", [0, 6000])
def test_networks(device, implementation, family, axes, decoded):
    """A pass of a level, of which and of the one above some points are decoded; None: passes begin with the level."""
    rng = np.random.default_rng(decoded)
    learned, level = Learned(device, implementation), level_of(rng, SHAPE, CODED)
    coding = mean_pass(2, 1) if family == "fog-mean" else sample_pass(len(axes or "") % 3, 1, decoded > 0)
    above = None
    if axes is not None:
        split = np.array([1 + (SPLIT_AXES[axes] >> bit & 1) for bit in (2, 1, 0)])
        coarse = level_of(rng, tuple(np.array(SHAPE) // split), CODED // split.prod() + 1)
        above = Above(
            sums=learned.sums(rng, coarse, coding.level + 1, 6, decoded // 4),
            step=6,
            parents=to(device, parents_of(level, coarse, split)),
            split_axes=SPLIT_AXES[axes],
        )
    sums = learned.sums(rng, level, coding.level, coding.quant_step, decoded)
    points = some_points(rng, CODED, 300)
    predictions = predicted(rng, 1 << 30, len(points))
    innovations = spread(rng, (1 << 30) + (1 << 28), len(points)).astype(np.int32)
    arrays = {name: torch.tensor(array) for name, array in vars(correction_network.shipped(family)).items()}
    view = PassView(
        level=coding.level,
        axis=coding.axis,
        phase=coding.phase,
        quant_step=coding.quant_step,
        sums=sums,
        above=above,
    )
    corrected, weights = on_device(device, predictions), Weights.of(arrays, device)
    at, told = to(device, points.astype(np.int32)), to(device, innovations)
    before = correct_by_network(corrected, told, at, weights, view, implementation=implementation)
    blocks = learned.nearby.blocks(lattice_points(points))
    visible = inputs_of(predictions.scale_classes, innovations.astype(np.int64), coding, blocks)
    assert_equal(corrected, correction_network.shipped(family).correct(predictions, visible))
    np.testing.assert_array_equal(before.cpu(), predictions.values)
