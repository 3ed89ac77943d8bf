"""Networks refined to what they code: few, cheap changes of their weights that save more bits than they take (NumPy).

The bits of a sample of residuals are bounded by a quadratic in the weights of a group (fit.loss), whose minimum
together with the code length of the changes themselves is found on the integers (fit.descend); then again from there.
A layer behind others is taken unit by unit. Sums over examples are of integers below 2**53, so that they are exact in
whatever order a library adds them, up to 65536 of them.
"""

from __future__ import annotations

import math

import numpy as np

from neuralvdb.fit import descend
from neuralvdb.fit.descend import Quadratic
from neuralvdb.fit.examples import Examples, Sampler
from neuralvdb.fit.loss import Loss
from neuralvdb.settings import Effort
from neuralvdb.values.lattice import network_changes
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.network_changes import FIRST, OFFSET, QUANTA, SCALE, SECOND, NetworkChange, NetworkChanges
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.sample_inputs import ONE
from neuralvdb.values.lattice.schedule import NetworkKey
from neuralvdb.values.lattice.tables import costs, tables_of

_TRIED = (1, 2)  # of QUANTA
_HIDDEN_QUANTUM = 1
_HEAD = 64.0  # bits that a changed network takes beside its changes, about
_CHANCE = 2 / math.log(2)  # bits that a chosen number seems to save on the sample it is fitted to (Akaike has half)
_DAMPING = 1.01
_FEW = 512
_MAX_BIAS = (1 << 22) / ONE
_OUTLIER = 256  # times the mean
_HIDDEN_CLASS = 4
_HIDDEN_BYTES = 4000  # that a network must take for its first layers to be worth a try


def fine_tune_grid(
    family: str, library: ModelSet, rows: np.ndarray, sampler: Sampler, dead: np.ndarray, effort: Effort
) -> NetworkChanges:
    """What pays for a family's networks, by an estimate from what an encoding met.

    rows: (64,) uint8 of the tables that it chose; dead: (64,) float64, as mean.encode() has it.
    """
    cost = Loss(tables_of(rows, library.freq), dead)
    prices = costs(library.families[family].tables)
    networks, examples = library.families[family].networks, sampler.examples()
    few = {
        key: _Fit(family, networks[key], _first(some, _FEW), sampler.counts[key], cost, prices)
        for key, some in examples.items()
    }
    cost.fit_shifts([(fit.out, fit.examples, fit.weight) for fit in few.values()])
    found: NetworkChanges = {}
    saved = 0.0
    for key, rough in few.items():
        if rough.best < 8 * effort.min_bytes:
            continue
        fit = _Fit(family, networks[key], _first(examples[key], effort.examples), rough.count, cost, prices)
        before = fit.best
        fit = _changed(fit, family, library, key, effort)
        if fit.best + _HEAD < before:
            found[key] = fit.kept
            saved += before - fit.best - _HEAD
    return found if saved > effort.min_saving * sum(rough.best for rough in few.values()) else {}


def _changed(own: _Fit, family: str, library: ModelSet, key: NetworkKey, effort: Effort) -> _Fit:
    """A network after the changes that were found to pay, from its own or a donor's on."""
    before = own.best
    donor, net = _donor(family, library, key, own)
    fit = own if donor == family else _Fit(donor, net, own.examples, own.count, own.loss, own.table)
    for turn in range(1 + (effort.hidden_rounds if before >= 8 * _HIDDEN_BYTES else 0)):
        if turn:
            fit.turn_hidden()
        for _ in range(1 if turn else effort.output_rounds):
            fit.turn_outputs()
    return fit


def _first(examples: Examples, most: int) -> Examples:
    """Some of the examples, evenly, at most so many."""
    return examples.some(slice(None, None, max(1, math.ceil(len(examples.target) / most))))


def _donor(family: str, library: ModelSet, key: NetworkKey, own: _Fit) -> tuple[str, Network]:
    """The family, and its network, that codes the examples best as it is."""
    few = _first(own.examples, _FEW)
    best, least = family, _Fit(family, own.net, few, len(few.target), own.loss, own.table).best - _HEAD
    for other in library.families:
        if other != family and kind_of(other) is kind_of(family):
            net = library.families[other].networks[key]
            found = _Fit(other, net, few, len(few.target), own.loss, own.table).best
            best, least = (other, found) if found < least else (best, least)
    return best, library.families[best].networks[key]


class _Fit:
    """A network while it is refined. count: of the residuals that the examples stand for.

    Weights are numbers of their groups as network_changes.NetworkChange has them, a bias in units that are worth ONE.
    """

    def __init__(self, donor: str, net: Network, examples: Examples, count: int, cost: Loss, table: np.ndarray) -> None:
        self.donor, self.net, self.examples, self.count = donor, net, examples, count
        self.loss, self.table = cost, table
        self.weight = count / len(examples.target)
        self.chance = _CHANCE * (self.weight - 1)
        self.inputs = examples.inputs.astype(np.float64)
        self.scales = 2.0 ** -net.shifts.astype(np.float64)
        self.units = (len(net.w1), len(net.w2))
        self.start = [network_changes.flat(net, group) for group in network_changes.GROUPS]
        self.steps = [np.zeros(len(start), np.int64) for start in self.start]
        self.codes: dict[int, tuple[int, int]] = {}  # class and quantum of the groups that change
        self._run()
        self.best, self.kept = self.bits(), NetworkChange(donor, {}, {}, {})

    def bits(self) -> float:
        """Bits of all residuals."""
        return float(self.loss.bits(self.out, self.examples).sum()) * self.weight

    def turn_outputs(self) -> None:
        """Once better weights of what makes the outputs."""
        slope, curve = self.loss.expand(self.out, self.examples)
        ones = np.full((len(self.inputs), 1), float(ONE))
        features = np.concatenate([self.h2, ones, self.inputs], 1)
        for group in (OFFSET, SCALE):
            row = group - OFFSET
            scale = np.full(features.shape[1], self.scales[2 + row])
            scale[-self.inputs.shape[1] :] = self.scales[4 + row]
            every = np.arange(features.shape[1])
            shape = self._quadratic(features, scale, slope[:, row], curve[:, row], group, every)
            quanta = (self.codes[group][1],) if group in self.codes else _TRIED
            tried = [(*descend.solve(shape, self.table, q, self._steps_in(group, q)), q) for q in quanta]
            _, self.steps[group], code, quantum = min(tried, key=lambda found: found[0])
            self.codes[group] = code, quantum
        self._run_outputs()
        self._keep()

    def turn_hidden(self) -> None:
        """Once better weights of the layers behind, unit by unit; undone where they do not pay."""
        for group in (SECOND, FIRST):
            old = self.steps[group], self.codes.get(group)
            code, quantum = old[1] or (_HIDDEN_CLASS, _HIDDEN_QUANTUM)
            self.steps[group], self.codes[group] = old[0].copy(), (code, quantum)
            for unit in range(self.units[group]):
                self._turn_unit(group, unit, code)
            steps = self.steps[group]
            self.codes[group] = int(self.table[:, steps + descend.MOST].sum(1).argmin()), quantum
            if not self._keep():
                self.steps[group] = old[0]
                if old[1] is None:
                    del self.codes[group]
                self._run()

    def _turn_unit(self, group: int, unit: int, code: int) -> None:
        reach = self._reach(group, unit)
        if not reach.any():
            return
        slope, curve = self.loss.expand(self.out, self.examples)
        slope, curve = (slope * reach).sum(1), (curve * reach * reach).sum(1)
        below = self.inputs if group == FIRST else self.h1
        features = np.concatenate([below, np.full((len(below), 1), float(ONE))], 1)
        some = np.nonzero(curve > 0)[0]
        count = len(self.start[group]) // self.units[group] - 1
        place = np.append(np.arange(unit * count, (unit + 1) * count), self.units[group] * count + unit)
        shape = self._quadratic(features[some], np.ones(len(place)), slope[some], curve[some], group, place)
        old = self.steps[group][place]
        before = self.bits() + self._price(code, old)
        _, self.steps[group][place], _ = descend.solve(shape, self.table, _HIDDEN_QUANTUM, old, code)
        if (self.steps[group][place] == old).all():
            return
        self._run_unit(group, unit, features, place)
        if self.bits() + self._price(code, self.steps[group][place]) >= before:
            self.steps[group][place] = old
            self._run_unit(group, unit, features, place)

    def _reach(self, group: int, unit: int) -> np.ndarray:
        """(n, 2): how the outputs follow what goes into a unit, before it is shifted."""
        last = np.stack([self._weights(OFFSET)[: self.units[1]], self._weights(SCALE)[: self.units[1]]], 1)
        last = last * self.scales[2:4]
        if group == SECOND:
            return _linear(self.a2[:, unit : unit + 1], self.scales[SECOND]) * last[unit]
        through = self._matrix(SECOND)[:, unit] * _linear(self.a2, self.scales[SECOND])
        return _linear(self.a1[:, unit : unit + 1], self.scales[FIRST]) * (through @ last)

    def _quadratic(
        self,
        features: np.ndarray,
        scale: np.ndarray,
        slope: np.ndarray,
        curve: np.ndarray,
        group: int,
        place: np.ndarray,
    ) -> Quadratic:
        """What weights `place` of a group cost. features: (n, P) whole numbers, scale: (P,) what they are worth; slope,
        curve: (n,) by the sum of them all."""
        slopes, unit = _whole(slope, 20)
        first = (slopes @ features) * (unit * self.weight) * scale
        roots, unit = _whole(np.sqrt(curve), 10)
        some = features * roots[:, None]
        second = (some.T @ some) * (unit * unit * self.weight) * np.outer(scale, scale)  # of one array: half the work
        second[np.diag_indices(len(second))] *= _DAMPING
        now, start = self._change(group)[place], self.start[group][place]
        limit = np.full(len(place), 127.0)
        limit[_biases(group, self.units, len(self.start[group]))[place]] = _MAX_BIAS
        return Quadratic(first - second @ now, second, -limit - start, limit - start, self.chance)

    def _change(self, group: int) -> np.ndarray:
        return self.steps[group] * QUANTA[self.codes[group][1]] if group in self.codes else 0 * self.steps[group]

    def _steps_in(self, group: int, quantum: int) -> np.ndarray:
        return np.rint(self._change(group) / QUANTA[quantum]).astype(np.int64)

    def _weights(self, group: int) -> np.ndarray:
        return self.start[group] + self._change(group)

    def _matrix(self, group: int) -> np.ndarray:
        """(units, inputs) weights of a layer."""
        units = self.units[group]
        return self._weights(group)[:-units].reshape(units, -1)

    def _price(self, code: int, steps: np.ndarray) -> float:
        return float(self.table[code, steps + descend.MOST].sum() + self.chance * np.count_nonzero(steps))

    def _run(self) -> None:
        """What the network gives for all examples, from the first layer on."""
        ones = np.full((len(self.inputs), 1), float(ONE))
        biases = [self._weights(group)[-self.units[group] :, None].T * ones for group in (FIRST, SECOND)]
        self.a1 = self.inputs @ self._matrix(FIRST).T + biases[FIRST]
        self.h1 = _activated(self.a1, self.scales[FIRST])
        self.a2 = self.h1 @ self._matrix(SECOND).T + biases[SECOND]
        self.h2 = _activated(self.a2, self.scales[SECOND])
        self._run_outputs()

    def _run_unit(self, group: int, unit: int, features: np.ndarray, place: np.ndarray) -> None:
        """The same after a unit has changed."""
        into = features @ self._weights(group)[place]
        if group == SECOND:
            self.a2[:, unit] = into
        else:
            old = self.h1[:, unit].copy()
            self.a1[:, unit] = into
            self.h1[:, unit] = _activated(into, self.scales[FIRST])
            self.a2 += (self.h1[:, unit] - old)[:, None] * self._matrix(SECOND)[:, unit]
        self.h2 = _activated(self.a2, self.scales[SECOND])
        self._run_outputs()

    def _run_outputs(self) -> None:
        rows = []
        for group in (OFFSET, SCALE):
            weights, row = self._weights(group), group - OFFSET
            last = self.h2 @ weights[: self.units[1]] + weights[self.units[1]] * ONE
            line = self.inputs @ weights[self.units[1] + 1 :]
            rows.append(np.floor(last * self.scales[2 + row]) + np.floor(line * self.scales[4 + row]))
        self.out = np.stack(rows, 1)

    def _keep(self) -> bool:
        """Whether what is now is the best so far, which then is kept."""
        changed = {group: steps for group, steps in enumerate(self.steps) if steps.any()}
        total = self.bits() + sum(self._price(self.codes[group][0], steps) for group, steps in changed.items())
        if total >= self.best:
            return False
        codes = [{group: self.codes[group][i] for group in changed} for i in (0, 1)]
        self.best, self.kept = (
            total,
            NetworkChange(self.donor, *codes, {g: steps.copy() for g, steps in changed.items()}),
        )
        return True


def _activated(into: np.ndarray, scale: float) -> np.ndarray:
    return np.clip(np.floor(into * scale), 0, 255)


def _linear(into: np.ndarray, scale: float) -> np.ndarray:
    """Where a unit follows what goes into it, times how much."""
    return ((into >= 0) & (into * scale < 256)) * scale


def _biases(group: int, units: tuple[int, int], size: int) -> np.ndarray:
    """(size,) bool: which numbers of a group are biases."""
    found = np.zeros(size, bool)
    found[slice(-units[group], None) if group in (FIRST, SECOND) else units[1]] = True
    return found


def _whole(values: np.ndarray, bits: int) -> tuple[np.ndarray, float]:
    """Whole numbers of at most 2**bits in size, and the unit in which they are `values` (n,), outliers cut."""
    size = np.abs(values)
    top = min(float(size.max()), _OUTLIER * float(size.mean()))
    if not top:
        return values, 1.0
    unit = 2.0 ** (math.ceil(math.log2(top)) - bits)
    return np.rint(np.clip(values, -top, top) / unit), unit
