"""Bricks joined to coarser ones, and points given back, as the package's definitions do it."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.levels import (
    Joined,
    Means,
    Pairs,
    Sums,
    join_bricks,
    join_cells,
    join_means,
    join_sums,
    unpack,
    upsample_into,
)
from neuralvdb.values.lattice import compand, mean_pyramid
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.levels import upsample_into as upsample_on_host

IMPLEMENTATIONS = ("reference", "triton")
RNG = np.random.default_rng(8)


def on(device: str, *arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array.copy()).to(device) for array in arrays]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_unpack(device, implementation):
    bits, constants = RNG.integers(0, 256, (3, 64), dtype=np.uint8), np.array([1, 0], np.uint8)
    active, coded = unpack(*on(device, bits, constants), implementation=implementation).cpu().numpy()
    np.testing.assert_array_equal(coded[:3], np.unpackbits(bits, axis=1, bitorder="little"))
    np.testing.assert_array_equal(active[:3], coded[:3])
    np.testing.assert_array_equal(coded[3:], 0)
    np.testing.assert_array_equal(active[3:], [[1] * 512, [0] * 512])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_points_of_eight_bricks(device, implementation, dtype):
    fine, children = RNG.integers(0, 200, (11, 512)).astype(dtype), RNG.integers(0, 11, (3, 8))
    joined = join_bricks(*on(device, fine, children), implementation=implementation).cpu().numpy().reshape(-1, 8, 8, 8)
    even = fine.reshape(-1, 8, 8, 8)[:, ::2, ::2, ::2]
    for brick, eight in zip(joined, children, strict=True):
        for octant, (x, y, z) in enumerate(np.ndindex(2, 2, 2)):
            block = brick[4 * x :, 4 * y :, 4 * z :][:4, :4, :4]
            np.testing.assert_array_equal(block, even[eight[octant]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_points_of_the_coarser_level(device, implementation):
    coarse, fine = (RNG.integers(-9, 9, (n, 512)).astype(np.int32) for n in (2, 9))
    table = np.concatenate([RNG.permutation(8), np.full(8, 8)]).astype(np.int32).reshape(4, 2, 2)
    levels = [
        LatticeLevel(np.zeros(3, np.int64), cells, values, values, values[:bricks])
        for cells, values, bricks in ((np.array([1, 0], np.int32).reshape(2, 1, 1), coarse, 2), (table, fine.copy(), 8))
    ]
    cells = levels[1].cells
    parents = (levels[0].table[tuple(cells.T // 2)] * 8 + cells % 2 @ [4, 2, 1]).astype(np.int32)
    arrays = on(device, coarse, parents, fine)
    upsample_into(*arrays, implementation=implementation)
    upsample_on_host(*levels)
    np.testing.assert_array_equal(arrays[2].cpu(), levels[1].values)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("knee", [0, 5])
def test_halves_of_cells(device, implementation, axis, knee):
    counts = RNG.integers(0, 3, (6, 512)).astype(np.int32) * 70
    active = ((counts > 0) | (RNG.random((6, 512)) < 0.2)).astype(np.uint8)
    fine, pairs = RNG.integers(-(1 << 20), 1 << 20, (6, 512)).astype(np.int32), RNG.permutation(6).reshape(3, 2)
    on_device, (pairs_on_device,) = on(device, counts, active, fine), on(device, pairs)
    flags = (torch.empty((3, 512), dtype=torch.uint8, device=device) for _ in range(3))
    numbers = [torch.empty((3, 512), dtype=torch.int32, device=device) for _ in range(3)]
    joined = Joined(counts=numbers[0], **dict(zip(("active", "share", "both"), flags, strict=True)))
    means = Means(means=numbers[1], companded=numbers[2])
    each = Pairs(bricks=pairs_on_device, axis=axis)
    join_cells(*on_device[:2], each, joined, implementation=implementation)
    join_means(on_device[2], each, joined.counts, knee, means, implementation=implementation)
    first, second = mean_pyramid.halves(counts, pairs, axis)
    total, either = first + second, np.maximum(*mean_pyramid.halves(active, pairs, axis))
    np.testing.assert_array_equal(joined.counts.cpu(), total)
    np.testing.assert_array_equal(joined.share.cpu(), 32 * first // np.maximum(total, 1))
    np.testing.assert_array_equal(joined.both.cpu(), (first > 0) & (second > 0))
    np.testing.assert_array_equal(joined.active.cpu(), np.where(total > 0, 1, either))
    mean = np.where(total > 0, 0, sum(mean_pyramid.halves(fine, pairs, axis)) >> 1)
    np.testing.assert_array_equal(means.means.cpu(), mean)
    np.testing.assert_array_equal(means.companded.cpu(), compand.compand_whole(mean, knee))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("knee", [0, 5, 300])
@pytest.mark.parametrize("largest", [40, 1 << 27])
def test_sums_of_a_reference(device, implementation, axis, knee, largest):
    """The rule of ReferenceMeans; means are of one voxel and of many."""
    rng = np.random.default_rng(axis)
    counts = rng.integers(0, 5, (6, 512)).astype(np.int32) * rng.integers(1, 900, (6, 1), dtype=np.int32)
    fine, pairs = counts * rng.integers(-largest, largest + 1, counts.shape), rng.permutation(6).reshape(3, 2)
    fine += rng.integers(0, counts + 1) * (fine < 0)  # means with halves
    sums, differences = (torch.empty((3, 512), dtype=dtype, device=device) for dtype in (torch.int64, torch.int32))
    on_device, (pairs_on_device,) = on(device, fine, counts), on(device, pairs)
    each, joined = Pairs(bricks=pairs_on_device, axis=axis), Sums(sums=sums, differences=differences)
    join_sums(*on_device, each, knee, joined, implementation=implementation)
    means = compand.compand_whole((2 * fine + counts) // np.maximum(2 * counts, 1), knee)
    first, second = mean_pyramid.halves(means, pairs, axis)
    np.testing.assert_array_equal(differences.cpu(), first - second)
    np.testing.assert_array_equal(sums.cpu(), sum(mean_pyramid.halves(fine, pairs, axis)))
