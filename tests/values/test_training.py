"""The predictors of values learn, alone as beside others, and training goes on where it stopped."""

from dataclasses import fields as fields_of_class
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuralvdb.fit.augment import mirrors
from neuralvdb.fit.examples import Examples
from neuralvdb.fit.fields import Field, fields_of
from neuralvdb.fit.optimise import Job, Schedule, one_cycle, optimise, optimise_together, to_floats, to_integers
from neuralvdb.fit.pretrain import Recipe, pretrain
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.sample_inputs import inputs_of
from neuralvdb.vdb import from_dense, write_vdb

pytestmark = pytest.mark.slow

RECIPE = Recipe(lattice=LatticeKind.SAMPLE, companded=0.3, pruned=0.3, iterations=12, rounds=2, seed=0)


@pytest.fixture(scope="module")
def fields(tmp_path_factory) -> list[Field]:
    """A ball of fog with waves in it."""
    path = tmp_path_factory.mktemp("fog") / "fog.vdb"
    x, y, z = np.indices((18, 18, 18)) - 8.5
    fog = np.maximum(0, 1 - np.sqrt(x * x + y * y + z * z) / 9) * (2 + np.sin(x + y) * np.cos(z / 2))
    write_vdb(path, [from_dense(fog.astype(np.float32), name="density", active=fog > 0)])
    return fields_of([path], "fog")


@pytest.mark.parametrize("lattice", LatticeKind)
def test_it_learns_and_goes_on(fields, lattice, tmp_path):
    progress, again = {}, {}
    recipe = replace(RECIPE, lattice=lattice)
    first = pretrain(fields, recipe, folder=tmp_path, progress=progress.__setitem__)
    assert len(progress) == 36
    assert np.mean([bits[:4].mean() for bits in progress.values()]) > np.mean(
        [bits[-4:].mean() for bits in progress.values()]
    )
    sorted(tmp_path.iterdir())[-1].unlink()
    second = pretrain(fields, recipe, folder=tmp_path, progress=again.__setitem__)
    assert second.identity == first.identity
    assert all(np.array_equal(progress[name], again[name]) for name in progress)


@pytest.fixture
def jobs() -> dict[NetworkKey, Job]:
    """A network that begins at random, and one that goes on from what the package has, with other inputs."""
    rng, jobs = np.random.default_rng(0), {}
    for phase, start in ((0, None), (1, to_floats(priors.load("fog").networks[0, 2, 1]))):
        inputs = rng.integers(-127, 128, (700 + phase, inputs_of(phase))).astype(np.int16)
        target = inputs[:, 0] / 16 + rng.normal(0, 0.1, len(inputs))
        scale = rng.uniform(0, 2, len(inputs)).astype(np.float32)
        examples = Examples(inputs, target.astype(np.float32), np.full(len(inputs), 8, np.float32), scale)
        jobs[NetworkKey(0, 2, phase)] = Job(examples, mirrors(LatticeKind.SAMPLE, 2, phase), start)
    return jobs


def test_networks_trained_together_are_those_trained_alone(jobs):
    schedule = Schedule(iterations=70, seed=5, batch=64)
    both = optimise_together(list(jobs.values()), schedule)
    for job, together in zip(jobs.values(), both, strict=True):
        (alone,) = optimise_together([job], schedule)
        assert all(torch.equal(*pair) for pair in zip(together.layers.all(), alone.layers.all(), strict=True))
        np.testing.assert_array_equal(together.bits, alone.bits)
        assert together.bits[-8:].mean() < together.bits[:8].mean()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_learns_the_same(jobs):
    schedule = Schedule(iterations=40, seed=5)
    expected, trained = (dict(optimise(jobs, replace(schedule, device=device))) for device in ("cpu", "cuda"))
    for key, each in expected.items():
        np.testing.assert_allclose(trained[key].bits, each.bits, rtol=0.02)


@pytest.mark.parametrize("family", priors.FAMILIES)
def test_floats_become_the_same_integers_again(family):
    for net in priors.load(family).networks.values():
        again = to_integers(to_floats(net))
        for field in fields_of_class(net):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(net, field.name))


@pytest.mark.parametrize("lattice", LatticeKind)
def test_networks_without_hidden_layers_stay_so_and_learn(fields, lattice):
    progress, tables = {}, priors.load("fog").tables
    recipe = replace(RECIPE, lattice=lattice, linear_tables=tables)
    prior = pretrain(fields, recipe, progress=progress.__setitem__)
    hidden = ("w1", "b1", "w2", "b2", "w3")
    assert not any(getattr(net, field).any() for net in prior.networks.values() for field in hidden)
    assert all(net.linear.any() for net in prior.networks.values())
    assert np.array_equal(prior.tables.freq, tables.freq)
    assert np.mean([bits[:4].mean() for bits in progress.values()]) > np.mean(
        [bits[-4:].mean() for bits in progress.values()]
    )


@pytest.mark.parametrize("iterations", [1, 2, 4, 10, 333])
def test_steps_follow_the_one_cycle_of_torch(iterations):
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=iterations)
    expected = []
    for _ in range(iterations):
        group = optimiser.param_groups[0]
        expected.append((group["lr"], group["betas"][0]))
        optimiser.step()
        cycle.step()
    assert one_cycle(Schedule(iterations=iterations, seed=0, rate=6e-3)) == expected
