"""The predictors of values learn, and training goes on where it stopped."""

import numpy as np
import pytest

from neuralvdb.fit import prior
from neuralvdb.values.lattice import priors
from neuralvdb.volume import from_dense, write_vdb

SETTINGS = {"companded": 0.3, "pruned": 0.3, "steps": 24, "rounds": 2, "seed": 0}


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[prior.Field]:
    """A ball of fog with waves in it."""
    path = tmp_path_factory.mktemp("fog") / "fog.vdb"
    x, y, z = np.indices((18, 18, 18)) - 8.5
    fog = np.maximum(0, 1 - np.sqrt(x * x + y * y + z * z) / 9) * (2 + np.sin(x + y) * np.cos(z / 2))
    write_vdb(path, [from_dense(fog.astype(np.float32), name="density", active=fog > 0)])
    return prior.fields_of([path], "fog")


@pytest.mark.parametrize("lattice", ["sample", "mean"])
def test_it_learns_and_goes_on(fields, lattice, tmp_path):
    seen, again = {}, {}
    first = prior.train_prior(fields, lattice, **SETTINGS, folder=tmp_path, progress=seen.__setitem__)
    assert len(seen) == 36
    assert np.mean([bits[:4].mean() for bits in seen.values()]) > np.mean([bits[-4:].mean() for bits in seen.values()])
    sorted(tmp_path.iterdir())[-1].unlink()
    second = prior.train_prior(fields, lattice, **SETTINGS, folder=tmp_path, progress=again.__setitem__)
    assert second.identity == first.identity
    assert all(np.array_equal(seen[name], again[name]) for name in seen)


@pytest.mark.parametrize("lattice", ["sample", "mean"])
def test_networks_without_hidden_layers_stay_so_and_learn(fields, lattice):
    seen, tables = {}, priors.load("fog").tables
    found = prior.train_prior(fields, lattice, **SETTINGS, linear=tables, progress=seen.__setitem__)
    hidden = ("w1", "b1", "w2", "b2", "w3")
    assert not any(getattr(net, part).any() for net in found.networks.values() for part in hidden)
    assert all(net.linear.any() for net in found.networks.values())
    assert np.array_equal(found.tables.freq, tables.freq)
    assert np.mean([bits[:4].mean() for bits in seen.values()]) > np.mean([bits[-4:].mean() for bits in seen.values()])
