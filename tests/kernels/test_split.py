"""Cells split as the package's definition splits them, and lists of what is set."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.compact import NONE, compact
from neuralvdb.kernels.split import Cells as DeviceCells
from neuralvdb.kernels.split import Companding, Halves, split
from neuralvdb.values.lattice import compand, mean_pyramid
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.mean_pyramid import Cells, MeanLevel

IMPLEMENTATIONS = ("reference", "triton")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("bricks", [0, 1, 7])
def test_compact(device, implementation, bricks):
    rng = np.random.default_rng(bricks)
    flags = (rng.random((bricks, 512)) < 0.4).astype(np.uint8) * 3
    passes = rng.choice([0, 1, 2, NONE], 512).astype(np.uint8)
    compacted = compact(*(torch.from_numpy(a).to(device) for a in (flags, passes)), 4, implementation=implementation)
    targets, offsets = (x.cpu().numpy() for x in compacted)
    assert len(targets) == offsets[-1]
    for p in range(4):
        for b in range(bricks):
            expected = b * 512 + np.nonzero((flags[b] != 0) & (passes == p))[0]
            np.testing.assert_array_equal(targets[offsets[p * bricks + b] : offsets[p * bricks + b + 1]], expected)


def pyramid(rng: np.random.Generator, largest: int, knee: int, nonnegative: bool) -> tuple[Cells, MeanLevel]:
    """A floor of six rows, five of them with voxels, over one of twelve; what is known below is -1."""
    pairs = rng.permutation(12).reshape(6, 2)
    counts = rng.integers(0, 3, (12, 512)).astype(np.int32) * rng.integers(0, 40, (12, 512), dtype=np.int32)
    counts[pairs[5]] = 0
    order = np.argsort(np.isin(np.arange(12), pairs[5]), kind="stable")  # rows without voxels come last
    counts, pairs = counts[order], np.argsort(order)[pairs]
    mean = (
        rng.integers(0 if nonnegative else -largest, largest + 1, (6, 512)) >> rng.integers(0, 20, (6, 512))
    ).astype(np.int32)
    bounds, no_base = (np.zeros(3), np.zeros((1, 1, 1), np.int32)), np.full((12, 512), -1, np.int32)
    low, table = bounds
    fine = MeanLevel(low, table, 10, counts, pairs[:0], np.arange(12), no_base, counts[:, :0])
    return Cells(MeanLevel(low, table, 5, counts[:6], pairs, np.arange(0), no_base[:0], counts[:0]), mean), fine


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("knee", "nonnegative"), [(0, False), (0, True), (5, False), (300, True)])
@pytest.mark.parametrize("largest", [1000, 1 << 28])
def test_split(device, implementation, axis, knee, nonnegative, largest):
    rng = np.random.default_rng(axis + knee)
    above, fine = pyramid(rng, largest, knee, nonnegative)
    pairs, companded = above.level.pairs, compand.compand_whole(above.means, knee).astype(np.int32)
    exact = rng.integers(-largest, largest + 1, (6, 512)) >> rng.integers(0, 24, (6, 512))
    first, second = mean_pyramid.halves(fine.counts, pairs, axis)
    exact = np.where((first > 0) & (second > 0), exact, 0).astype(np.int32)
    arrays = (above.means, companded, exact, pairs[:5], fine.counts)
    means, companded, differences, pairs, counts = (torch.from_numpy(array).to(device) for array in arrays)
    fine_means = [torch.from_numpy(fine.means.copy()).to(device) for _ in range(2)]
    cells = DeviceCells(means=means, companded=companded, differences=differences)
    halves = Halves(axis=axis, pairs=pairs, counts=counts, means=fine_means[0], companded=fine_means[1])
    split(cells, halves, Companding(knee=knee, nonnegative=nonnegative), implementation=implementation)
    expected = mean_pyramid.split(above, fine, axis, exact, Quantiser(1.0, knee, nonnegative), "reference")
    np.testing.assert_array_equal(fine_means[0].cpu(), expected)
    np.testing.assert_array_equal(fine_means[1].cpu(), compand.compand_whole(expected, knee))
