"""Which networks suit a grid: the family and the model set, found by encoding samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.values.encoder import sample_size
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES, LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.candidate import Candidate
from neuralvdb.values.select.sampling import FEW, MANY, neighbour_pairs
from neuralvdb.volume.grid import Tree

_OTHER_FAMILY = 1 / 0.9  # what bytes of other families than the grid's own count: a sample is not the grid
_ABRUPT = 8  # times the mean change between active neighbours, by which values change where the active ones end


def select_networks(tree: Tree, promise: Promise, model_sets: Sequence[ModelSet]) -> Candidate:
    """The promise with the family, and the model set, whose networks encode a sample of the tree in the fewest bytes.

    Another family than the promise's own must be better by a tenth, on a larger sample too. Where active values end
    abruptly, predictors that see active points only are tried as well.
    """
    candidates = [Candidate(replaced, models) for models in model_sets for replaced in _modes(tree, promise)]
    if len(candidates) == 1:
        return candidates[0]

    def is_own(candidate: Candidate) -> bool:
        return candidate.promise.mode.family == promise.mode.family

    def best(among: Sequence[Candidate], leaves: int) -> Candidate:
        sizes = [
            sample_size(tree, candidate.promise, candidate.models, leaves) * (1 if is_own(candidate) else _OTHER_FAMILY)
            for candidate in among
        ]
        return among[int(np.argmin(sizes))]

    first = best(candidates, FEW)
    return first if is_own(first) else best([*filter(is_own, candidates), first], MANY)


def _modes(tree: Tree, promise: Promise) -> list[Promise]:
    """The promise with each mode to try, its own family first."""
    if promise.mode.lattice is LatticeKind.MEAN:
        return [promise]  # it has one family, whose predictors see active points only anyway
    family_asked = promise.mode.family
    families = [family_asked, *(family for family in SAMPLE_FAMILIES if family != family_asked)]
    choices = [False, True] if _ends_abruptly(tree) else [False]
    modes = [replace(promise.mode, family=family, active_only=choice) for family in families for choice in choices]
    return [replace(promise, mode=mode) for mode in modes]


def _ends_abruptly(tree: Tree) -> bool:
    """Whether values change far more from active to inactive voxels than between active ones; where these are all the
    same, any change is more."""
    inner, outer = _Mean(), _Mean()
    for pairs in neighbour_pairs(tree):
        with np.errstate(invalid="ignore"):
            change = np.abs(pairs.second - pairs.first).sum(-1)
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
