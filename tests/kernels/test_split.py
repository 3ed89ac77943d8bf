"""Cells split as the package's definition splits them, and lists of what is set."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.compact import NONE, compact
from neuralvdb.kernels.split import split
from neuralvdb.values.lattice import compand, means
from neuralvdb.values.lattice.domain import Lattice
from neuralvdb.values.lattice.levels import Level
from neuralvdb.values.lattice.means import Floor

IMPLEMENTATIONS = ("reference", "triton")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("bricks", [0, 1, 7])
def test_compact(device, implementation, bricks):
    rng = np.random.default_rng(bricks)
    flags = (rng.random((bricks, 512)) < 0.4).astype(np.uint8) * 3
    passes = rng.choice([0, 1, 2, NONE], 512).astype(np.uint8)
    found = compact(*(torch.from_numpy(a).to(device) for a in (flags, passes)), 4, implementation=implementation)
    targets, offsets = (x.cpu().numpy() for x in found)
    assert len(targets) == offsets[-1]
    for p in range(4):
        for b in range(bricks):
            expected = b * 512 + np.nonzero((flags[b] != 0) & (passes == p))[0]
            np.testing.assert_array_equal(targets[offsets[p * bricks + b] : offsets[p * bricks + b + 1]], expected)


def floors(rng: np.random.Generator, largest: int, knee: int, positive: bool) -> tuple[Floor, Floor]:
    """A floor of six rows, five of them with voxels, over one of twelve; what is known below is -1."""
    pairs = rng.permutation(12).reshape(6, 2)
    counts = rng.integers(0, 3, (12, 512)).astype(np.int32) * rng.integers(0, 40, (12, 512), dtype=np.int32)
    counts[pairs[5]] = 0
    order = np.argsort(np.isin(np.arange(12), pairs[5]), kind="stable")  # rows without voxels come last
    counts, pairs = counts[order], np.argsort(order)[pairs]
    mean = (rng.integers(0 if positive else -largest, largest + 1, (6, 512)) >> rng.integers(0, 20, (6, 512))).astype(
        np.int32
    )
    companded = compand.compand_whole(mean, knee).astype(np.int32)
    table, blank = np.zeros((1, 1, 1), np.int32), np.full((12, 512), -1, np.int32)
    masks = (counts > 0).astype(np.uint8)
    coarse = Floor(
        Level(np.zeros(3), table, companded, masks[:6], masks[:6], 5), mean, np.zeros((6, 512), np.int32), pairs
    )
    return coarse, Floor(Level(np.zeros(3), table, blank, masks, masks, 10), blank.copy(), counts, pairs)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("knee", "positive"), [(0, False), (0, True), (5, False), (300, True)])
@pytest.mark.parametrize("largest", [1000, 1 << 28])
def test_split(device, implementation, axis, knee, positive, largest):
    rng = np.random.default_rng(axis + knee)
    coarse, fine = floors(rng, largest, knee, positive)
    gaps = rng.integers(-largest, largest + 1, (6, 512)) >> rng.integers(0, 24, (6, 512))
    first, second = means.halves(fine.counts, coarse.pairs, axis)
    gaps = np.where((first > 0) & (second > 0), gaps, 0).astype(np.int32)
    arrays = (coarse.means, coarse.level.values, gaps, coarse.pairs[:5], fine.counts)
    found = [torch.from_numpy(array.copy()).to(device) for array in (fine.means, fine.level.values)]
    given = [torch.from_numpy(array).to(device) for array in arrays]
    split(*given, axis, knee, positive, *found, implementation=implementation)
    means.split(coarse, fine, axis, gaps, Lattice(1.0, knee, positive), "reference")
    np.testing.assert_array_equal(found[0].cpu(), fine.means)
    np.testing.assert_array_equal(found[1].cpu(), fine.level.values)
