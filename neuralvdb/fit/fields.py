"""Fields of files to learn from, and the lattices that they are put under at random."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.augment import transposed
from neuralvdb.fit.cases import Case
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.constants import MEAN_STEPS, UNITS_PER_ERROR
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree
from neuralvdb.volume.field_kind import field_kind
from neuralvdb.volume.grid import unpack

# Limits of log-uniform numbers. Of the range of a field: maximum errors, knees, finest quantisation steps of the mean
# lattice. Of others: ratios of errors to values, quantisation steps as shares of the knee.
_ERRORS, _KNEES, _MEAN_STEPS = (10**-3.2, 10**-1.35), (0.002, 0.05), (10**-2.7, 10**-0.7)
_RATIOS, _KNEE_STEPS = (0.01, 0.5), (0.2, 5.0)
_SMALLEST = 2000  # active voxels of a field worth learning from
_LARGEST_RANGE = 1e5  # beyond, values mark the outside rather than measure anything


@dataclass(frozen=True, kw_only=True)
class Field:
    """A component of a grid to learn from.

    name: of the grid.
    span: maximum less minimum of the finite active values.
    nonnegative: whether no value is below 0.
    voxels: active ones.
    """

    name: str
    tree: Tree
    component: int
    span: float
    nonnegative: bool
    voxels: int


def fields_of(paths: Iterable[str | os.PathLike[str]], kind: str) -> list[Field]:
    """Every different field of a kind in .vdb files: fog, velocity or levelset. Raises InputError, DamagedFile."""
    fields: dict[bytes, Field] = {}
    for path in paths:
        for grid in VdbReader(path):
            if grid.tree is None or not len(grid.tree.leaf) or field_kind(grid).value != kind:
                continue
            values = grid.tree.leaf.values[unpack(grid.tree.leaf.active)]
            for component, active in enumerate(values.reshape(len(values), -1).T):
                finite = active[np.isfinite(active)]
                span = float(finite.max() - finite.min()) if len(finite) else 0.0
                if len(values) >= _SMALLEST and 0 < span < _LARGEST_RANGE:
                    field = Field(
                        name=grid.name,
                        tree=grid.tree,
                        component=component,
                        span=span,
                        nonnegative=bool(finite.min() >= 0),
                        voxels=len(values),
                    )
                    fields.setdefault(active.tobytes(), field)
    return list(fields.values())


def draw_case(field: Field, kind: LatticeKind, companded: float, rng: np.random.Generator) -> Case:
    """A field with its axes permuted, under a lattice of a kind, of which the share `companded` is companded."""
    first, second, third = rng.permutation(3).tolist()
    tree = transposed(field.tree, (first, second, third))
    draw = _mean_quantiser if kind is LatticeKind.MEAN else _sample_quantiser
    return Case(tree, field.component, kind, draw(field, rng.random() < companded, rng))


def _sample_quantiser(field: Field, companded: bool, rng: np.random.Generator) -> Quantiser:
    """A sample lattice under a random maximum error, or one that grows with the value from a random knee on."""
    if not companded:
        return Quantiser(_log_uniform(rng, _ERRORS) * field.span / UNITS_PER_ERROR)
    knee = knee_of(_log_uniform(rng, _RATIOS))
    return Quantiser(_log_uniform(rng, _KNEES) * field.span / knee, knee)


def _mean_quantiser(field: Field, companded: bool, rng: np.random.Generator) -> Quantiser:
    """A mean lattice of a random quantisation step, and of a random knee if companded."""
    if not companded:
        return Quantiser(_log_uniform(rng, _MEAN_STEPS) * field.span / MEAN_STEPS[0], nonnegative=field.nonnegative)
    knee = _log_uniform(rng, _KNEES) * field.span
    unit = knee * _log_uniform(rng, _KNEE_STEPS) / MEAN_STEPS[0]
    return Quantiser(unit, int(np.ceil(knee / unit)), nonnegative=field.nonnegative)


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
