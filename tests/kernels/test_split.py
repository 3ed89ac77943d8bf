"""Cells split as the package's definition splits them, and lists of what is set."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.compact import NONE, Flags, compact
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
    flags = [(rng.random((bricks + more, 512)) < 0.4).astype(np.uint8) * 3 for more in (0, 2)]
    passes = [rng.choice([0, 1, 2, NONE], 512).astype(np.uint8), np.zeros(512, np.uint8)]
    begins = [[0, bricks // 2, bricks], [0, 1, bricks + 1]]
    levels = [
        Flags(
            flags=torch.from_numpy(flags[k]).to(device),
            passes=torch.from_numpy(passes[k]).to(device),
            count=(4, 1)[k],
            begins=begins[k],
        )
        for k in range(2)
    ]
    listed = compact(levels, implementation=implementation)
    assert [len(of_level) for of_level in listed] == [4, 1]
    for k, of_level in enumerate(listed):
        for p, targets in enumerate(of_level):
            is_set = (flags[k][: begins[k][-1]] != 0) & (passes[k] == p)
            np.testing.assert_array_equal(targets.points.cpu(), np.flatnonzero(is_set))
            expected = [np.count_nonzero(is_set[:brick]) for brick in begins[k]]
            np.testing.assert_array_equal(targets.starts.cpu(), expected)


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
