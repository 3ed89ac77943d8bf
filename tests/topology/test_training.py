"""Training of the topology's networks: reproducible, and its float networks are those that code."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralvdb.topology import Topology, priors
from neuralvdb.topology.inputs import FAMILIES, VOXELS, inputs_of
from neuralvdb.topology.network import logit_classes
from neuralvdb.vdb import VdbReader, write_vdb
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, child_origins, popcount, unpack
from neuralvdb.volume.regions import keep_leaves

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is absent; training needs it"),
]

ITERATIONS = {family.name: 3 for family in FAMILIES}


def voxels(topology: Topology) -> np.ndarray:
    """Coordinates (n, 3) of the active voxels of leaves."""
    lower = child_origins(topology.child_origins, topology.upper_child, UPPER_LOG2, 128)
    leaves = child_origins(lower, topology.lower_child, LOWER_LOG2, 8)
    return child_origins(leaves, topology.leaf_active, 3, 1)


@given(st.data(), st.permutations([0, 1, 2]), st.lists(st.booleans(), min_size=3, max_size=3))
@settings(max_examples=8, deadline=None)
def test_turning_moves_every_voxel(drawn, data, axes, mirrored):
    from neuralvdb.fit.topology_cases import reoriented

    topology = data.draw(drawn)
    turned = reoriented(topology, axes, mirrored)
    moved = np.where(mirrored, -1 - voxels(topology)[:, axes], voxels(topology)[:, axes])
    assert np.array_equal(np.unique(voxels(turned), axis=0), np.unique(moved, axis=0))
    for before, after in zip(topology.masks, turned.masks, strict=True):
        assert (before.shape, popcount(before)) == (after.shape, popcount(after))


def test_the_same_seed_gives_the_same_networks(sample, tmp_path, monkeypatch):
    """On a few leaves of each grid, in small batches."""
    from neuralvdb.fit import pretrain_topology as training
    from neuralvdb.fit.topology_cases import cases_of

    def trained(seed: int) -> priors.Prior:
        rng = np.random.default_rng(seed)
        recipe = training.TopologyRecipe(iterations=ITERATIONS, orientations=1, limit=200, seed=seed)
        return training.pretrain_topology(cases_of([few], rng, 1), rng, recipe)

    few = tmp_path / "few.vdb"
    grids = list(VdbReader(sample))
    write_vdb(few, [replace(g, tree=keep_leaves(g.tree, np.arange(len(g.tree.leaf)) < 60)) for g in grids])
    monkeypatch.setattr(training, "_BATCH", 256)
    first, second = (trained(5) for _ in range(2))
    assert first.identity == second.identity != priors.load().identity


def test_integers_are_near_the_trained_network():
    import torch

    from neuralvdb.fit.pretrain_topology import Model, to_integers

    torch.manual_seed(3)
    model = Model(inputs_of(VOXELS, 5), VOXELS.hidden)
    x = np.random.default_rng(4).integers(-1, 2, (500, inputs_of(VOXELS, 5)))
    with torch.no_grad():
        logits = model(torch.from_numpy(x).float()).numpy()
    from_integers = logit_classes(to_integers(model), (16 * x).astype(np.int16))
    assert np.abs(from_integers - (4 * logits + 31.5)).max() < 1.5


def test_thinning_leaves_the_higher_values(sample):
    from neuralvdb.fit.topology_cases import cases_of

    tree = VdbReader(sample).read(0).tree
    cases = cases_of([sample], np.random.default_rng(1), 3)
    alone = [case.topology for case in cases if case.reference is None]
    whole = int(unpack(tree.leaf.active).sum())
    assert sum(popcount(topology.leaf_active) < whole for topology in alone) >= 3
