"""Priors tuned to files: every family that they have fields for, from what it was before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from neuralvdb.fit.augment import mirrors, transposed
from neuralvdb.fit.examples import Examples, collect, count, joined
from neuralvdb.fit.loss import Loss
from neuralvdb.fit.optimise import Job, to_floats, to_integers, train
from neuralvdb.fit.pretrain import TASKS, Field, fields_of
from neuralvdb.fit.tables import fit_tables
from neuralvdb.nets.network import Network, forward
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.priors import FAMILIES, ModelSet, Prior
from neuralvdb.values.lattice.schedule import NetworkKey

COMPANDED = {"fog": 0.3, "velocity": 0.0, "levelset": 0.0, "fog-mean": 0.8}  # share of the lattices trained for
NETWORKS = 18  # of a family
_CASES, _POINTS = 48, 6000  # fields under lattices, at most twice as many; examples of a phase from each
_RATE = 2e-3
_BELIEF = 2  # counts that a frequency of the tables before is worth
_TESTED = 8  # one example in so many only judges
_SEED = 0

Progress = Callable[[str], None]


def tune(
    paths: Sequence[str | os.PathLike[str]],
    library: ModelSet,
    *,
    steps: int,
    device: str = "cpu",
    progress: Progress = lambda _: None,
) -> tuple[ModelSet, dict[str, int]]:
    """The library, tuned to .vdb files, and how many fields of each family there were. device: as in train().
    `progress` is told of every network. Raises InputError, DamagedFile, OutOfMemory."""
    torch.set_num_threads(1)  # sums in one order, so that the same files give the same weights
    found, used = {}, {}
    for family in FAMILIES:
        fields = fields_of(paths, family.removesuffix("-mean"))
        found[family] = library.families[family]
        if fields:
            used[family] = len(fields)
            found[family] = _tuned(family, library.families[family], fields, steps, device, progress)
        else:
            for _ in range(NETWORKS):
                progress(family)
    return priors.model_set(found), used


def _tuned(family: str, prior: Prior, fields: list[Field], steps: int, device: str, progress: Progress) -> Prior:
    task, make_lattice = TASKS[kind_of(family).value]
    rng = np.random.default_rng(_SEED)
    fields = fields[:: max(1, len(fields) // _CASES)]

    def drawn(item: Field) -> tuple:
        tree = transposed(item.tree, tuple(rng.permutation(3)))
        return tree, item.component, make_lattice(item, rng.random() < COMPANDED[family], rng)

    cases = [drawn(item) for item in fields for _ in range(max(1, _CASES // len(fields)))]
    examples: dict[NetworkKey, list[Examples]] = {}
    for case in cases:
        for key, parts in collect(task, *case, prior.networks, rng, _POINTS).items():
            examples.setdefault(key, []).extend(parts)
    networks, cost = dict(prior.networks), Loss(prior.tables, np.zeros(SCALE_CLASSES))
    jobs, tests = {}, {}
    for key in sorted(examples):
        mine, tests[key] = _parted(joined(examples.pop(key)))
        if len(mine.target):
            jobs[key] = Job(mine, mirrors(task, *key[1:]), to_floats(networks[key]))
    for key, model, _ in train(jobs, steps=steps, seed=_SEED, rate=_RATE, device=device):
        networks[key] = _better(networks[key], to_integers(model), tests[key], cost)
        progress(family)
    for _ in networks.keys() - jobs.keys():
        progress(family)
    counts = prior.tables.freq.astype(np.int64) * _BELIEF
    for case in cases:
        count(task, *case, networks, counts)
    return priors.make(networks, fit_tables(counts))


def _parted(examples: Examples) -> tuple[Examples, Examples]:
    """Those to train on, and those that only judge."""
    tested = np.arange(len(examples.target)) % _TESTED == 0
    return examples.select(~tested), examples.select(tested)


def _better(before: Network, after: Network, test: Examples, cost: Loss) -> Network:
    """The network that takes fewer bits for examples that were not trained on."""
    was, now = (cost.bits(forward(net, test.inputs).astype(np.float64), test).sum() for net in (before, after))
    return after if now < was else before
