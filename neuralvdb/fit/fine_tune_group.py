"""Networks fine-tuned once to a grid of all frames of a group, whose bytes the frames share.

Every frame is encoded once with a GroupObserver. GroupNetworks are fine-tuned to what that met of grids of one name,
and every frame is encoded again with them. Sections VALS of later frames are differences from those of the first one,
so that networks which changed alike take next to nothing there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit.examples import Examples, Sample, joined
from neuralvdb.fit.fine_tune_grid import fine_tune_grid
from neuralvdb.fit.sampler import Sampler
from neuralvdb.metrics import psnr
from neuralvdb.settings import Effort
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.network_changes import NetworkChanges
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.tables import dead_zones
from neuralvdb.values.lossless import by_component
from neuralvdb.values.select.candidate import Candidate, Tuning
from neuralvdb.values.select.picture_search import keeps_picture

if TYPE_CHECKING:
    from neuralvdb.values.context import EncodeContext
    from neuralvdb.volume import Tree

_RICHER = 4  # times the examples of a network of one grid, as often as there are frames at most
_MOST = 1 << 16  # of them, whose sums are exact

Stored = Callable[[CodedValues], int]


@dataclass(frozen=True)
class GridOfGroup:
    """A grid: by the place of its frame in the group, its number there, and its name."""

    frame: int
    number: int
    name: bytes


class GroupTuning(Protocol):
    """What encodes the grids of a group."""

    def of_grid(self, frame: int, number: int, name: bytes, stored: Stored) -> Tuning:
        """What encodes a grid of frame `frame` of the group. stored: bytes that its values take as they are stored."""


@dataclass(frozen=True, kw_only=True)
class _Met:
    """What encoding a grid without a reference met.

    family, models: that predicted. rows, dead_zone: as fine_tune_grid() has them. samples: by network.
    size: bytes as stored.
    """

    family: str
    models: ModelSet
    rows: np.ndarray
    dead_zone: np.ndarray
    samples: Mapping[NetworkKey, Sample]
    size: int

    @property
    def residuals(self) -> int:
        """How many there are."""
        return sum(sample.count for sample in self.samples.values())


class GroupObserver:
    """What is met when the frames of a group, so many, are encoded for the first time."""

    def __init__(self, frames: int, effort: Effort) -> None:
        examples = min(_MOST, effort.examples * min(frames, _RICHER))
        self._effort, self._limit = replace(effort, examples=examples), math.ceil(examples / frames)
        self._met: dict[GridOfGroup, _Met] = {}

    def of_grid(self, frame: int, number: int, name: bytes, stored: Stored) -> Tuning:
        """What encodes a grid and looks on."""
        return _Observation(
            stored, self._limit, self._effort.levels, functools.partial(self._keep, GridOfGroup(frame, number, name))
        )

    def _keep(self, grid: GridOfGroup, met: _Met) -> None:
        self._met[grid] = met

    def networks(self) -> GroupNetworks | None:
        """Networks that pay, by an estimate; None where there are none."""
        by_name: dict[bytes, list[_Met]] = {}
        for grid, met in sorted(self._met.items(), key=lambda item: (item[0].frame, item[0].number)):
            by_name.setdefault(grid.name, []).append(met)
        tuned = {name: each for name, met in by_name.items() if (each := _fine_tuned(met, self._effort))}
        return GroupNetworks(tuned, {grid: met.size for grid, met in self._met.items()}) if tuned else None


class _Observation:
    """Encodes a grid as if nothing were fine-tuned, and samples what that meets."""

    expected = False

    def __init__(self, stored: Stored, limit: int, levels: int, keep: Callable[[_Met], None]) -> None:
        self._stored, self._limit, self._levels, self._keep = stored, limit, levels, keep
        self._met: _Met | None = None

    def encode(self, tree: Tree, candidate: Candidate, context: EncodeContext) -> CodedValues:
        """As Tuning has it."""
        options = candidate.options(tree, context)
        if candidate.reference is not None:
            return encoder.encode(tree, candidate.promise, options)
        sampler = Sampler(len(tree.leaf), by_component(tree.leaf).shape[2], self._limit, self._levels)
        coded = encoder.encode(tree, candidate.promise, replace(options, observer=sampler, devices=()))
        mode, models = candidate.promise.mode, candidate.models
        assert coded.table_rows is not None  # it is not lossless
        self._met = _Met(
            family=mode.family,
            models=models,
            rows=coded.table_rows,
            dead_zone=dead_zones(mode.family, models.freq) * (mode.lattice is LatticeKind.MEAN),
            samples={key: _narrow(sample) for key, sample in sampler.samples().items()},
            size=self._stored(coded),
        )
        return coded

    def settle(self, coded: CodedValues) -> None:
        """As Tuning has it: every bit of the grid may have been kept after all, and nothing is learned then."""
        if self._met is not None and coded.head is not None and coded.head.correction is None:
            self._keep(self._met)


def _narrow(sample: Sample) -> Sample:
    """The sample in half the memory: inputs lie within +-127."""
    return replace(sample, examples=replace(sample.examples, inputs=sample.examples.inputs.astype(np.int8)))


@dataclass(frozen=True, kw_only=True)
class _TunedFamily:
    """Changes to the networks of a family of some models."""

    family: str
    models: ModelSet
    changes: NetworkChanges


def _fine_tuned(met: Sequence[_Met], effort: Effort) -> _TunedFamily | None:
    """What pays for grids of one name; None where nothing does."""
    largest = max(met, key=lambda each: each.residuals)
    family, models = largest.family, largest.models
    alike = [each for each in met if each.family == family and each.models is models]
    changes = fine_tune_grid(
        _joined([each.samples for each in alike]),
        family=family,
        models=models,
        rows=largest.rows,
        dead_zone=largest.dead_zone,
        effort=effort,
    )
    return _TunedFamily(family=family, models=models, changes=changes) if changes else None


def _joined(grids: Sequence[Mapping[NetworkKey, Sample]]) -> dict[NetworkKey, Sample]:
    """Samples of all grids together, of which every example stands for about as many residuals."""
    together: dict[NetworkKey, Sample] = {}
    for key in sorted({key for samples in grids for key in samples}):
        samples = [grid[key] for grid in grids if key in grid]
        heaviest = max(sample.weight for sample in samples)
        examples = joined([_spread(sample, sample.weight / heaviest) for sample in samples])
        together[key] = Sample(examples, sum(sample.count for sample in samples))
    return together


def _spread(sample: Sample, share: float) -> Examples:
    """A share of the examples of a sample, evenly spread, at least one."""
    count = len(sample.examples)
    kept = max(1, int(count * share))
    return sample.examples.select(np.arange(kept) * count // kept)


class GroupNetworks:
    """Networks by the names of grids, and the bytes that grids of the group take without them."""

    def __init__(self, tuned: Mapping[bytes, _TunedFamily], sizes: Mapping[GridOfGroup, int]) -> None:
        self._tuned, self._sizes = tuned, sizes

    def of_grid(self, frame: int, number: int, name: bytes, stored: Stored) -> Tuning:
        """What encodes a grid with them where that takes fewer bytes."""
        size = self._sizes.get(GridOfGroup(frame, number, name))
        return _Tuned(self._tuned.get(name), size, stored, is_first=frame == 0)


@dataclass(frozen=True)
class _Tuned:
    """Encodes a grid with changed networks where that takes fewer bytes.

    tuned: None where nothing changes. size: bytes as stored without changes, None where that is not known. is_first: of
    the group; it has the changes in any case, as later frames need not store them again then.
    """

    tuned: _TunedFamily | None
    size: int | None
    stored: Stored
    is_first: bool

    @property
    def expected(self) -> bool:
        """As Tuning has it."""
        return self.tuned is not None

    def encode(self, tree: Tree, candidate: Candidate, context: EncodeContext) -> CodedValues:
        """As Tuning has it."""
        changed = self._changed(tree, candidate, context)
        if changed is not None and (self.is_first or (self.size is not None and self.stored(changed) < self.size)):
            return changed
        baseline = encoder.encode(tree, candidate.promise, candidate.options(tree, context))
        if changed is not None and self.size is None and self.stored(changed) < self.stored(baseline):
            return changed
        return baseline

    def _changed(self, tree: Tree, candidate: Candidate, context: EncodeContext) -> CodedValues | None:
        """The values by changed networks, if they keep the promise; None where these are of no use."""
        promise, tuned = candidate.promise, self.tuned
        if tuned is None or tuned.family != promise.mode.family or tuned.models is not candidate.models:
            return None
        if candidate.reference is not None:
            return None
        coded = encoder.encode(tree, promise, replace(candidate, changes=tuned.changes).options(tree, context))
        keeps = not promise.bound.psnr or psnr(tree, coded.tree) >= promise.bound.psnr
        return coded if keeps and keeps_picture(coded, promise) else None

    def settle(self, coded: CodedValues) -> None:
        """As Tuning has it; nothing is left to do."""
