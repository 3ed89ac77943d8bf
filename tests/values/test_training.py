"""The predictors of values learn, alone as beside others, and training goes on where it stopped."""

import dataclasses

import numpy as np
import pytest
import torch

from neuralvdb.fit import pretrain
from neuralvdb.fit.augment import mirrors
from neuralvdb.fit.examples import Examples, SampleTask
from neuralvdb.fit.optimise import Job, to_floats, to_integers, together, train
from neuralvdb.values.lattice import priors
from neuralvdb.vdb import from_dense, write_vdb

pytestmark = pytest.mark.slow

SETTINGS = {"companded": 0.3, "pruned": 0.3, "steps": 24, "rounds": 2, "seed": 0}


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[pretrain.Field]:
    """A ball of fog with waves in it."""
    path = tmp_path_factory.mktemp("fog") / "fog.vdb"
    x, y, z = np.indices((18, 18, 18)) - 8.5
    fog = np.maximum(0, 1 - np.sqrt(x * x + y * y + z * z) / 9) * (2 + np.sin(x + y) * np.cos(z / 2))
    write_vdb(path, [from_dense(fog.astype(np.float32), name="density", active=fog > 0)])
    return pretrain.fields_of([path], "fog")


@pytest.mark.parametrize("lattice", ["sample", "mean"])
def test_it_learns_and_goes_on(fields, lattice, tmp_path):
    seen, again = {}, {}
    first = pretrain.train_prior(fields, lattice, **SETTINGS, folder=tmp_path, progress=seen.__setitem__)
    assert len(seen) == 36
    assert np.mean([bits[:4].mean() for bits in seen.values()]) > np.mean([bits[-4:].mean() for bits in seen.values()])
    sorted(tmp_path.iterdir())[-1].unlink()
    second = pretrain.train_prior(fields, lattice, **SETTINGS, folder=tmp_path, progress=again.__setitem__)
    assert second.identity == first.identity
    assert all(np.array_equal(seen[name], again[name]) for name in seen)


@pytest.fixture
def jobs() -> dict[tuple[int, int, int], Job]:
    """A network that begins at random, and one that goes on from what the package has, with other inputs."""
    rng, found = np.random.default_rng(0), {}
    for phase, start in ((0, None), (1, to_floats(priors.load("fog").networks[0, 2, 1]))):
        inputs = rng.integers(-127, 128, (700 + phase, SampleTask.inputs_of(phase))).astype(np.int16)
        target = inputs[:, 0] / 16 + rng.normal(0, 0.1, len(inputs))
        parts = (part.astype(np.float32) for part in (target, np.full(len(inputs), 8), rng.uniform(0, 2, len(inputs))))
        found[0, 2, phase] = Job(Examples(inputs, *parts), mirrors(SampleTask, 2, phase), start)
    return found


def test_networks_trained_together_are_those_trained_alone(jobs):
    settings = {"steps": 70, "seed": 5, "batch": 64}
    both = together(list(jobs.values()), **settings)
    for job, (net, bits) in zip(jobs.values(), both, strict=True):
        ((alone, expected),) = together([job], **settings)
        assert all(torch.equal(*pair) for pair in zip(net.all(), alone.all(), strict=True))
        np.testing.assert_array_equal(bits, expected)
        assert bits[-8:].mean() < bits[:8].mean()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_learns_the_same(jobs):
    expected, found = ({key: bits for key, _, bits in train(jobs, steps=40, seed=5, device=d)} for d in ("cpu", "cuda"))
    for key, bits in expected.items():
        np.testing.assert_allclose(found[key], bits, rtol=0.02)


@pytest.mark.parametrize("family", priors.FAMILIES)
def test_floats_become_the_same_integers_again(family):
    for net in priors.load(family).networks.values():
        again = to_integers(to_floats(net))
        for field in dataclasses.fields(net):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(net, field.name))


@pytest.mark.parametrize("lattice", ["sample", "mean"])
def test_networks_without_hidden_layers_stay_so_and_learn(fields, lattice):
    seen, tables = {}, priors.load("fog").tables
    found = pretrain.train_prior(fields, lattice, **SETTINGS, linear=tables, progress=seen.__setitem__)
    hidden = ("w1", "b1", "w2", "b2", "w3")
    assert not any(getattr(net, part).any() for net in found.networks.values() for part in hidden)
    assert all(net.linear.any() for net in found.networks.values())
    assert np.array_equal(found.tables.freq, tables.freq)
    assert np.mean([bits[:4].mean() for bits in seen.values()]) > np.mean([bits[-4:].mean() for bits in seen.values()])
