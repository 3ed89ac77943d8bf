"""Correction networks are trained on what they see of grids with a reference."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.fit.pretrain_corrections import ReferredGrid, examples_of, pretrain_corrections
from neuralvdb.values import encoder, mean_promise, sample_promise
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.reference import ReferenceValues
from neuralvdb.vdb import from_dense


def referred_grid(promise) -> ReferredGrid:
    """A rough ball, and a reference that is right in one half of it."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(0, 0.2, (24, 24, 24)).cumsum(0)).astype("f4")
    ball = (np.indices(values.shape) - 11.5).__pow__(2).sum(0) < 140
    tree = from_dense(values * ball, name="density", active=ball).tree
    noise = rng.normal(0, 1, tree.leaf.values.shape) * (tree.leaf_origins[:, :1] > 8)
    return ReferredGrid(tree, promise, tree.leaf.values + 0.5 * noise)


@pytest.mark.slow
@pytest.mark.parametrize(
    "promise", [sample_promise("fog", max_error=0.02), mean_promise(step=0.03, knee=0.1)], ids=["sample", "mean"]
)
def test_a_trained_network_makes_a_grid_smaller(promise):
    grid = referred_grid(promise)
    network = pretrain_corrections([grid], 20, seed=0)
    reference = ReferenceValues.over(grid.tree, grid.said, network)
    coded = encoder.encode(grid.tree, promise, encoder.EncodeOptions(reference=reference))
    assert coded.size < 0.95 * encoder.encode(grid.tree, promise).size


def test_examples_hold_every_coded_point():
    grid = referred_grid(sample_promise("fog", max_error=0.02))
    examples = examples_of(grid, correction_network.shipped("fog"))
    assert 0.98 < len(examples.errors) / np.unpackbits(grid.tree.leaf.active).sum() < 1
    exact = examples_of(replace(grid, said=grid.tree.leaf.values.astype(np.float64)), None)
    assert np.corrcoef(exact.sources[:, 0], exact.errors)[0, 1] > 0.9
