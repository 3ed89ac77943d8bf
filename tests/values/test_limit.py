"""Every bit of values is kept where that takes fewer bytes, however few a sample of the leaves lets one expect."""

import numpy as np

from neuralvdb.values.coded import exact
from neuralvdb.values.select.limit import Limit
from neuralvdb.vdb import from_dense


def test_estimates_stay_below_the_bytes_of_every_bit():
    random = np.random.default_rng(4)
    smooth = np.linspace(0, 1, 32)[:, None, None] * np.cos(np.linspace(0, 3, 32))[:, None] * np.linspace(1, 2, 32)
    block = random.random((16, 16, 16))
    for values in (smooth, random.random((32, 32, 32)), np.tile(block, (2, 2, 2)), np.ones((32, 32, 32))):
        tree = from_dense(values.astype(np.float32), name="density").tree
        limit, size = Limit(tree), exact(tree).size
        assert limit._surely_exceeds(0) and not limit._surely_exceeds(size)
        assert limit.exceeds(size - 1) and not limit.exceeds(size)
        assert limit.is_hopeless(2 * size) and not limit.is_hopeless(2 * size - 2)


def test_the_first_leaves_suffice_only_where_all_of_them_would():
    """Whatever is asked, the answer is that of all leaves."""
    random = np.random.default_rng(5)
    for quiet in (0.0, 0.3, 0.9):
        values = random.random((64, 64, 64)) * (np.arange(64)[:, None, None] >= 64 * quiet)
        tree = from_dense(values.astype(np.float32), name="density", active=np.ones(values.shape, bool)).tree
        all_leaves = Limit(tree)
        least = 0.5 * min(all_leaves._by_sample, all_leaves._by_repeats())
        for size in least * np.array([0.1, 0.3, 0.9, 1, 1.1, 3]):
            assert Limit(tree)._surely_exceeds(size) == (size < least)
