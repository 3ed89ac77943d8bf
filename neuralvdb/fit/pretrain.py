"""Pretrains a family: fields are coded with the networks so far, networks trained on what was met; then again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from neuralvdb.archive.rans import Tables
from neuralvdb.dataclass import dataclass
from neuralvdb.fit.augment import keep_needed_leaves, mirrors
from neuralvdb.fit.cases import Case, Networks, collect, count_symbols, initial_networks
from neuralvdb.fit.examples import Examples, joined
from neuralvdb.fit.fields import Field, draw_case
from neuralvdb.fit.optimise import Job, Schedule, Trained, optimise, to_integers, without_hidden
from neuralvdb.fit.tables import tables_from_counts
from neuralvdb.kernels.fit import Layers
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.constants import ESCAPE, SCALE_CLASSES, UNITS_PER_ERROR
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.pass_order import NetworkKey

_LARGE = 100_000  # active voxels from which on a field is large
_COUNTED_CASES = 4  # of each field, for the tables


@dataclass(frozen=True)
class _Draws:
    """Of a small and of a large field: cases in a round."""

    small: int
    large: int

    def of(self, field: Field) -> int:
        return self.large if field.voxels > _LARGE else self.small


_EXAMPLES = _Draws(6000, 12000)  # of a pass over a chunk
_CASES, _CASES_WITHOUT_HIDDEN = _Draws(4, 6), _Draws(1, 2)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a family is pretrained.

    lattice: that it predicts on.
    companded: share of the lattices that are companded.
    pruned: share of the trees under other lattices that are seen as they are coded where topology is pruned.
    iterations: of each network in a round, half of them in the first.
    rounds: of coding and training.
    seed: of everything random.
    linear_tables: if they are given, networks have no hidden layers, and the prior has these tables.
    device: to train on: "cpu", or such as "cuda:0".
    """

    lattice: LatticeKind
    companded: float
    pruned: float
    iterations: int
    rounds: int
    seed: int
    linear_tables: Tables | None = None
    device: str = "cpu"

    def schedule(self, number: int) -> Schedule:
        """That of a round, from 0."""
        iterations = self.iterations if number else self.iterations // 2
        return Schedule(iterations=iterations, seed=self.seed, device=self.device)


Progress = Callable[[str, np.ndarray], None]  # name of a network, and bits that an example of each iteration took


def pretrain(
    fields: list[Field], recipe: Recipe, *, folder: Path | None = None, progress: Progress = lambda *_: None
) -> priors.Prior:
    """The prior of a family, trained on fields; the same recipe gives the same weights.

    In `folder` finished networks are kept, and those that are there are not trained again. `progress` is told of each
    network. Raises OutOfMemory.
    """
    networks = initial_networks(recipe.lattice)
    layers: dict[NetworkKey, Layers] = {}
    for number in range(recipe.rounds):
        examples = _round_examples(fields, recipe, networks, np.random.default_rng([recipe.seed, number]))
        jobs = {
            key: Job(examples[key], mirrors(recipe.lattice, key.axis, key.phase), _start(recipe, layers, key))
            for key in examples
        }
        for key, trained in _resumed(jobs, recipe.schedule(number), number, folder):
            layers[key] = trained.layers
            progress(_name(number, key), trained.bits)
        networks = networks | {key: to_integers(each) for key, each in layers.items()}
    if recipe.linear_tables:
        return priors.make(networks, recipe.linear_tables)
    return priors.make(networks, tables_from_counts(_counted(fields, recipe, networks)))


def _start(recipe: Recipe, layers: dict[NetworkKey, Layers], key: NetworkKey) -> Layers | None:
    """What a network is trained from; None for random weights."""
    if key in layers:
        return layers[key]
    return without_hidden(lattice_of(recipe.lattice).inputs_of(key.phase)) if recipe.linear_tables else None


def _name(number: int, key: NetworkKey) -> str:
    return f"round {number + 1}, level {key.level} axis {key.axis} phase {key.phase}"


def _resumed(
    jobs: dict[NetworkKey, Job], schedule: Schedule, number: int, folder: Path | None
) -> Iterator[tuple[NetworkKey, Trained]]:
    """The trained networks of a round: from `folder` what is there already, else put there."""
    if folder is None:
        yield from optimise(jobs, schedule)
        return
    paths = {key: folder / f"{_name(number, key)}.pt" for key in jobs}
    finished = [key for key, path in paths.items() if path.exists()]
    for key in finished:
        yield key, Trained(*torch.load(paths[key], weights_only=False))
    for key, trained in optimise({key: job for key, job in jobs.items() if key not in finished}, schedule):
        unfinished = paths[key].with_suffix(".part")
        torch.save((trained.layers, trained.bits), unfinished)
        unfinished.rename(paths[key])
        yield key, trained


def _draw(field: Field, recipe: Recipe, rng: np.random.Generator) -> Case:
    case = draw_case(field, recipe.lattice, recipe.companded, rng)
    if case.quantiser.knee or rng.random() >= recipe.pruned:
        return case
    return replace(case, tree=keep_needed_leaves(case.tree, case.quantiser.unit * UNITS_PER_ERROR))


def _round_examples(
    fields: list[Field], recipe: Recipe, networks: Networks, rng: np.random.Generator
) -> dict[NetworkKey, Examples]:
    """The examples of each network, met while coding cases of all fields with `networks`."""
    examples: dict[NetworkKey, list[Examples]] = {}
    cases = _CASES_WITHOUT_HIDDEN if recipe.linear_tables else _CASES
    for field in fields:
        for _ in range(cases.of(field)):
            case = _draw(field, recipe, rng)
            met = collect(case, networks, rng, _EXAMPLES.of(field))
            for key, collected in met.items():
                examples.setdefault(key, []).extend(collected)
    return {key: joined(examples.pop(key)) for key in sorted(examples)}


def _counted(fields: list[Field], recipe: Recipe, networks: Networks) -> np.ndarray:
    """(64, 64) int64: how often each symbol of each scale class occurs in cases of all fields."""
    counts, rng = np.zeros((SCALE_CLASSES, ESCAPE + 1), np.int64), np.random.default_rng([recipe.seed, recipe.rounds])
    for field in fields:
        for _ in range(_COUNTED_CASES):
            counts += count_symbols(_draw(field, recipe, rng), networks)
    return counts
