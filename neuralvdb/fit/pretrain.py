"""Trains a family's prior: coded with what there is, examples noted, networks fitted to them; then once more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from neuralvdb.archive.rans import Tables
from neuralvdb.fit.augment import keep_needed_leaves, mirrors, transposed
from neuralvdb.fit.examples import (
    Examples,
    MeanTask,
    Networks,
    SampleTask,
    Task,
    collect,
    count,
    joined,
    untrained,
)
from neuralvdb.fit.optimise import Job, Trained, to_integers, train, without_hidden
from neuralvdb.fit.tables import fit_tables
from neuralvdb.kernels.fit import Layers
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.constants import ESCAPE, MEAN_STEPS, SCALE_CLASSES, UNITS_PER_ERROR
from neuralvdb.values.lattice.schedule import NetworkKey
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree
from neuralvdb.volume.field_kind import field_kind
from neuralvdb.volume.grid import unpack

# What the lattices are trained for, log-uniform: bounds, knees and steps as shares of the range, ratios of a tolerance,
# steps as shares of the knee.
BOUNDS, RATIOS = (10**-3.2, 10**-1.35), (0.01, 0.5)
STEP_SHARES, KNEES, KNEE_STEPS = (10**-2.7, 10**-0.7), (0.002, 0.05), (0.2, 5.0)
_SMALLEST = 2000  # active voxels of a field worth learning from
_LARGEST_RANGE = 1e5  # beyond, values mark the outside rather than measure anything
_LARGE = 100_000  # active voxels from which on a field is large
# Examples of a phase from small and from large fields, how many times, and how many where there are no hidden layers.
_POINTS, _DRAWS, _LINEAR_DRAWS = (6000, 12000), (4, 6), (1, 2)


@dataclass(frozen=True)
class Field:
    """A component of a grid to learn from: its tree, the component, the active range, whether nothing in it is below 0,
    and the active voxels."""

    name: str
    tree: Tree
    component: int
    span: float
    positive: bool
    voxels: int


def fields_of(paths: Iterable[str | os.PathLike[str]], family: str) -> list[Field]:
    """Every different field of a family in .vdb files. Raises InputError, DamagedFile."""
    found: dict[bytes, Field] = {}
    for path in paths:
        for grid in VdbReader(path):
            if grid.tree is None or not len(grid.tree.leaf) or field_kind(grid).value != family:
                continue
            values = grid.tree.leaf.values[unpack(grid.tree.leaf.active)]
            for c, component in enumerate(values.reshape(len(values), -1).T):
                finite = component[np.isfinite(component)]
                span = float(finite.max() - finite.min()) if len(finite) else 0.0
                if len(values) >= _SMALLEST and 0 < span < _LARGEST_RANGE:
                    found.setdefault(
                        component.tobytes(), Field(grid.name, grid.tree, c, span, bool(finite.min() >= 0), len(values))
                    )
    return list(found.values())


def sample_lattice(item: Field, companded: bool, rng: np.random.Generator) -> Quantiser:
    """A sample lattice under a random bound, or one that grows with the value from a random knee on."""
    if not companded:
        return Quantiser(_between(rng, BOUNDS) * item.span / UNITS_PER_ERROR)
    knee = knee_of(_between(rng, RATIOS))
    return Quantiser(_between(rng, KNEES) * item.span / knee, knee)


def mean_lattice(item: Field, companded: bool, rng: np.random.Generator) -> Quantiser:
    """A mean lattice of random step, and of random knee if companded."""
    if not companded:
        return Quantiser(_between(rng, STEP_SHARES) * item.span / MEAN_STEPS[0], nonnegative=item.positive)
    knee = _between(rng, KNEES) * item.span
    unit = knee * _between(rng, KNEE_STEPS) / MEAN_STEPS[0]
    return Quantiser(unit, int(np.ceil(knee / unit)), nonnegative=item.positive)


TASKS = {"sample": (SampleTask, sample_lattice), "mean": (MeanTask, mean_lattice)}


def train_prior(
    fields: list[Field],
    lattice: str,
    *,
    companded: float,
    pruned: float,
    steps: int,
    rounds: int,
    seed: int,
    linear: Tables | None = None,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Callable[[str, np.ndarray], None] = lambda *_: None,
) -> priors.Prior:
    """A prior for "sample" or "mean" lattices fitted to `fields`.

    companded: share of the lattices that are; pruned: share of the other trees that are seen as pruned ones are coded;
    steps: of each network in a round, half of it in the first; linear: where they are given, the networks have no
    hidden layers, and the prior these tables; device: as in train(). In `folder` finished networks are kept, and those
    that are there are not trained again. `progress` is told of each network, and the bits an example took at each step.
    Raises OutOfMemory.
    """
    task, make_lattice = TASKS[lattice]

    def draw(item: Field, rng: np.random.Generator) -> tuple[Tree, int, Quantiser]:
        tree = transposed(item.tree, tuple(rng.permutation(3)))
        found = make_lattice(item, rng.random() < companded, rng)
        if not found.knee and rng.random() < pruned:
            tree = keep_needed_leaves(tree, found.unit * UNITS_PER_ERROR)
        return tree, item.component, found

    networks, models = untrained(task), {}
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        draws = _LINEAR_DRAWS if linear else _DRAWS
        jobs = {
            key: Job(
                examples,
                mirrors(task, *key[1:]),
                models.get(key) or (linear and without_hidden(task.inputs_of(key[2]))),
            )
            for key, examples in _examples(fields, task, draw, draws, networks, rng).items()
        }
        times = steps if turn else steps // 2
        for key, name, model, bits in _trained(
            jobs, turn, folder, partial(train, steps=times, seed=seed, device=device)
        ):
            models[key] = model
            progress(name, bits)
        networks = networks | {key: to_integers(model) for key, model in models.items()}
    if linear:
        return priors.make(networks, linear)
    counts, rng = np.zeros((SCALE_CLASSES, ESCAPE + 1), np.int64), np.random.default_rng([seed, rounds])
    for item in fields:
        for _ in range(4):
            count(task, *draw(item, rng), networks, counts)
    return priors.make(networks, fit_tables(counts))


def _trained(
    jobs: dict[NetworkKey, Job],
    turn: int,
    folder: Path | None,
    learn: Callable[[dict[NetworkKey, Job]], Iterable[Trained]],
) -> Iterator[tuple[NetworkKey, str, Layers, np.ndarray]]:
    """What `learn` gives, and the name of each network, from `folder` if it is there, else put there."""
    names = {key: f"round {turn + 1}, level {key[0]} axis {key[1]} phase {key[2]}" for key in jobs}
    paths = {key: folder / f"{name}.pt" for key, name in names.items()} if folder else {}
    there = {key: path for key, path in paths.items() if path.exists()}
    for key, path in there.items():
        yield key, names[key], *torch.load(path, weights_only=False)
    for key, model, bits in learn({key: job for key, job in jobs.items() if key not in there}):
        if folder:
            part = paths[key].with_suffix(".part")
            torch.save((model, bits), part)
            part.rename(paths[key])
        yield key, names[key], model, bits


def _examples(
    fields: list[Field],
    task: Task,
    draw: Callable[..., tuple],
    draws: tuple[int, int],
    networks: Networks,
    rng: np.random.Generator,
) -> dict[NetworkKey, Examples]:
    found: dict[NetworkKey, list[Examples]] = {}
    for item in fields:
        large = item.voxels > _LARGE
        for _ in range(draws[large]):
            parts = collect(task, *draw(item, rng), networks, rng, _POINTS[large])
            for key, examples in parts.items():
                found.setdefault(key, []).extend(examples)
    return {key: joined(found.pop(key)) for key in sorted(found)}


def _between(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A log-uniform number."""
    return float(np.exp(rng.uniform(*np.log(limits))))
