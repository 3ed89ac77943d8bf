"""Models fine-tuned to files: every family that they have fields for, from what it was before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.augment import mirrors
from neuralvdb.fit.cases import Case, collect, count_symbols
from neuralvdb.fit.examples import Examples, joined
from neuralvdb.fit.fields import Field, draw_case, fields_of
from neuralvdb.fit.loss import Loss
from neuralvdb.fit.optimise import Job, Schedule, optimise, to_floats, to_integers
from neuralvdb.fit.tables import tables_from_counts
from neuralvdb.nets.network import Network, forward
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.kind import FAMILIES, LatticeKind, kind_of
from neuralvdb.values.lattice.pass_order import KEYS, NetworkKey
from neuralvdb.values.lattice.priors import ModelSet, Prior

_COMPANDED = {"fog": 0.3, "velocity": 0.0, "levelset": 0.0, "fog-mean": 0.8}  # share of the lattices trained for
_FIELDS = {"fog": "fog", "velocity": "velocity", "levelset": "levelset", "fog-mean": "fog"}  # that a family learns from
_CASES, _EXAMPLES = 48, 6000  # fields under lattices, at most twice as many; examples of a pass over a chunk of each
_RATE = 2e-3
_TABLE_COUNTS = 2  # counts that a frequency of the tables before is worth
_TESTED = 8  # one example in so many only judges
_SEED = 0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class FineTuned:
    """The models after fine-tuning, and how many fields of each family the files had."""

    models: ModelSet
    fields: dict[str, int]


def fine_tune_files(
    paths: Sequence[str | os.PathLike[str]],
    models: ModelSet,
    *,
    iterations: int,
    device: str = "cpu",
    progress: Progress = lambda _: None,
) -> FineTuned:
    """Models fine-tuned to .vdb files.

    iterations: of each network; device: "cpu", or such as "cuda:0". `progress` is told the family of every network that
    is done. Raises InputError, DamagedFile, OutOfMemory.
    """
    torch.set_num_threads(1)  # sums in one order, so that the same files give the same weights
    schedule = Schedule(iterations=iterations, seed=_SEED, rate=_RATE, device=device)
    families, used = dict(models.families), {}
    for family in FAMILIES:
        fields = fields_of(paths, _FIELDS[family])
        if fields:
            used[family] = len(fields)
            families[family] = _FamilyTuner(family, models.families[family], schedule, progress).run(fields)
        else:
            for _ in KEYS:
                progress(family)
    return FineTuned(priors.model_set(families), used)


@dataclass(frozen=True)
class _FamilyTuner:
    """Fine-tunes one family."""

    family: str
    prior: Prior
    schedule: Schedule
    progress: Progress

    @property
    def kind(self) -> LatticeKind:
        return kind_of(self.family)

    def run(self, fields: list[Field]) -> Prior:
        """The family fine-tuned to fields."""
        rng = np.random.default_rng(_SEED)
        cases = self._cases(fields, rng)
        networks = self._networks(self._examples(cases, rng))
        counts = self.prior.tables.freq.astype(np.int64) * _TABLE_COUNTS
        for case in cases:
            counts += count_symbols(case, networks)
        return priors.make(networks, tables_from_counts(counts))

    def _cases(self, fields: list[Field], rng: np.random.Generator) -> list[Case]:
        """Some fields under lattices."""
        fields = fields[:: max(1, len(fields) // _CASES)]
        each = max(1, _CASES // len(fields))
        return [draw_case(field, self.kind, _COMPANDED[self.family], rng) for field in fields for _ in range(each)]

    def _examples(self, cases: list[Case], rng: np.random.Generator) -> dict[NetworkKey, Examples]:
        examples: dict[NetworkKey, list[Examples]] = {}
        for case in cases:
            for key, collected in collect(case, self.prior.networks, rng, _EXAMPLES).items():
                examples.setdefault(key, []).extend(collected)
        return {key: joined(examples.pop(key)) for key in sorted(examples)}

    def _networks(self, examples: dict[NetworkKey, Examples]) -> dict[NetworkKey, Network]:
        """The networks fine-tuned to examples, each only if it is better than before."""
        networks, loss = dict(self.prior.networks), Loss(self.prior.tables, np.zeros(SCALE_CLASSES))
        jobs, tests = {}, {}
        for key, every in examples.items():
            tested = np.arange(len(every)) % _TESTED == 0
            tests[key], trained_on = every.select(tested), every.select(~tested)
            if len(trained_on):
                ways = mirrors(self.kind, key.axis, key.phase)
                jobs[key] = Job(trained_on, ways, to_floats(networks[key]))
        for key, trained in optimise(jobs, self.schedule):
            networks[key] = _better(networks[key], to_integers(trained.layers), tests[key], loss)
            self.progress(self.family)
        for _ in networks.keys() - jobs.keys():
            self.progress(self.family)
        return networks


def _better(before: Network, after: Network, test: Examples, loss: Loss) -> Network:
    """The network that takes fewer bits for examples that were not trained on."""

    def bits(net: Network) -> float:
        return float(loss.bits(forward(net, test.inputs).astype(np.float64), test).sum())

    return after if bits(after) < bits(before) else before
