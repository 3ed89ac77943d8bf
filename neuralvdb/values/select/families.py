"""Which networks suit a grid: the family and the model set, found by encoding samples."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.values.encoder import sample_size
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES, LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.sampling import FEW, FEWEST, MANY, Sample, neighbour_pairs

_OTHER_FAMILY = 1 / 0.9  # what bytes of other families than the grid's own count: a sample is not the grid
_FAR = 1.1  # times the fewest bytes on the smallest sample, from which on a candidate is not tried on a larger one
_ABRUPT = 8  # times the mean change between active neighbours, by which values change where the active ones end


def select_networks(sample: Sample, promise: Promise, model_sets: Sequence[ModelSet]) -> Candidate:
    """The promise with the family, and the model set, whose networks encode samples in the fewest bytes.

    Another family than the promise's own must be better by a tenth, on a larger sample too. Where active values end
    abruptly, predictors that see active points only are tried as well.
    """
    candidates = [Candidate(replaced, models) for models in model_sets for replaced in _modes(sample, promise)]

    def is_own(candidate: Candidate) -> bool:
        return candidate.promise.mode.family == promise.mode.family

    def sizes(among: Sequence[Candidate], leaves: int) -> np.ndarray:
        """Bytes that candidates take, the grid's own family preferred."""
        tree, chunk = sample.tree, sample.chunk(leaves)
        preference = np.array([1 if is_own(candidate) else _OTHER_FAMILY for candidate in among])
        return preference * [sample_size(tree, chunk, candidate.promise, candidate.models) for candidate in among]

    def best(among: Sequence[Candidate], leaves: int) -> Candidate:
        return among[0] if len(among) == 1 else among[int(sizes(among, leaves).argmin())]

    if len(candidates) == 1:
        return candidates[0]
    fewest = sizes(candidates, FEWEST)
    near = [candidates[i] for i in np.flatnonzero(fewest <= _FAR * fewest.min())]
    first = best(near, FEW)
    return first if is_own(first) else best([*filter(is_own, candidates), first], MANY)


def _modes(sample: Sample, promise: Promise) -> list[Promise]:
    """The promise with each mode to try, its own family first."""
    if promise.mode.lattice is LatticeKind.MEAN:
        return [promise]  # it has one family, whose predictors see active points only anyway
    family_asked = promise.mode.family
    families = [family_asked, *(family for family in SAMPLE_FAMILIES if family != family_asked)]
    choices = [False, True] if _ends_abruptly(sample) else [False]
    modes = [replace(promise.mode, family=family, active_only=choice) for family in families for choice in choices]
    return [replace(promise, mode=mode) for mode in modes]


def _ends_abruptly(sample: Sample) -> bool:
    """Whether values change far more from active to inactive voxels than between active ones; where these are all the
    same, any change is more."""
    inner, outer = _Mean(), _Mean()
    for pairs in neighbour_pairs(sample):
        with np.errstate(invalid="ignore"):
            by_component = np.abs(pairs.second - pairs.first)
        change = functools.reduce(np.add, np.moveaxis(by_component, -1, 0))  # sooner than sum(-1)
        inner.add(change[pairs.first_active & pairs.second_active])
        outer.add(change[pairs.first_active ^ pairs.second_active])
    return outer.value > _ABRUPT * inner.value


class _Mean:
    """The mean of finite values."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, values: np.ndarray) -> None:
        """Adds values (n,)."""
        finite = values[np.isfinite(values)]
        self._sum, self._count = self._sum + float(finite.sum()), self._count + len(finite)

    @property
    def value(self) -> float:
        """The mean; 0 of nothing."""
        return self._sum / max(self._count, 1)
