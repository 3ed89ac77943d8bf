"""Networks fine-tuned to one grid: few, cheap changes of their weights that save more bits than they take (NumPy).

The bits of a sample of residuals are bounded by a quadratic in the weights of a group (loss.py, quadratic.py). Its
minimum, together with the code length of the changes themselves, is found on the integers (descend.py); then again from
there. A hidden layer is taken unit by unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.fit import descend
from neuralvdb.fit.deltas import Deltas, GroupCode, GroupDeltas
from neuralvdb.fit.examples import Sample
from neuralvdb.fit.loss import Loss, Outputs
from neuralvdb.fit.quadratic import Expansion, Features, Quadratic, quadratic_of
from neuralvdb.fit.replay import Replay
from neuralvdb.nets.network import Network
from neuralvdb.settings import Effort
from neuralvdb.values.lattice import tables
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.network_changes import FIRST, OFFSET, SCALE, SECOND, NetworkChange, NetworkChanges
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.tables import MOST

_TRIED_QUANTA = (1, 2)  # of QUANTA
_HIDDEN_CODE = GroupCode(scale_class=4, quantum=1)  # of hidden layers to begin with
_HEAD_BITS = 64.0  # that a changed network takes beside its deltas, about
_SELECTION_PENALTY = 2 / math.log(2)  # bits that a number chosen on a sample seems to save (Akaike has half)
_FEW = 512  # examples
_MIN_HIDDEN_BYTES = 4000  # that a network's residuals must take for its hidden layers to be worth a try


@dataclass(frozen=True)
class Costs:
    """What is paid for. residuals: by the tables of the grid; deltas: (64, 2 MOST + 1) bits by scale class."""

    residuals: Loss
    deltas: np.ndarray


class Candidate:
    """A network while it is fine-tuned.

    bits: of all residuals that the sample stands for, and of the deltas, at best so far; change: which gave these.
    """

    def __init__(self, donor: str, net: Network, sample: Sample, costs: Costs) -> None:
        self.donor, self.net, self.sample, self.costs = donor, net, sample, costs
        self.deltas = Deltas(net, costs.deltas, _SELECTION_PENALTY * (sample.weight - 1))
        self.replay = Replay(net, sample.examples.inputs, self.deltas)
        self.bits, self.change = self.residual_bits(), NetworkChange(donor, {}, {}, {})

    def residual_bits(self) -> float:
        """Bits of all residuals as the network is now."""
        return float(self.costs.residuals.bits(self.replay.outputs, self.sample.examples).sum()) * self.sample.weight

    def expansion(self) -> Expansion:
        """Derivatives (n, 2) of the smooth cost by the outputs as they are now."""
        return self.costs.residuals.expand(self.replay.outputs, self.sample.examples)

    def quadratic(self, features: Features, expansion: Expansion, group: int, which: np.ndarray | slice) -> Quadratic:
        """The cost of the weights `which` of a group, which `features` are multiplied by."""
        return quadratic_of(
            features,
            expansion,
            self.deltas.range(group, which),
            weight=self.sample.weight,
            selection_penalty=self.deltas.selection_penalty,
        )

    def keep(self) -> bool:
        """Whether the network as it is now is the best so far; if so, it is noted as that."""
        bits = self.residual_bits() + self.deltas.total_price()
        if bits >= self.bits:
            return False
        self.bits, self.change = bits, self.deltas.network_change(self.donor)
        return True


def fine_tune_grid(
    samples: Mapping[NetworkKey, Sample],
    *,
    family: str,
    models: ModelSet,
    rows: np.ndarray,
    dead_zone: np.ndarray,
    effort: Effort,
) -> NetworkChanges:
    """The changes of a family's networks that pay, by an estimate from what an encoding met; {} if all save too little.

    rows: (64,) uint8 of the tables that the encoding chose; dead_zone: (64,) float64, as mean.encode() has it.
    """
    costs = Costs(Loss(tables.tables_of(rows, models.freq), dead_zone), tables.costs(models.families[family].tables))
    networks = models.families[family].networks
    rough = {key: Candidate(family, networks[key], sample.thinned(_FEW), costs) for key, sample in samples.items()}
    costs.residuals.fit_shifts([Outputs(each.replay.outputs, each.sample) for each in rough.values()])
    changes: NetworkChanges = {}
    saved = 0.0
    for key, estimate in rough.items():
        if estimate.bits < 8 * effort.min_bytes:
            continue
        baseline = Candidate(family, networks[key], samples[key].thinned(effort.examples), costs)
        before = baseline.bits
        tuned = _fine_tuned(baseline, key, models, effort)
        if tuned.bits + _HEAD_BITS < before:
            changes[key] = tuned.change
            saved += before - tuned.bits - _HEAD_BITS
    return changes if saved > effort.min_saving * sum(each.bits for each in rough.values()) else {}


def _fine_tuned(baseline: Candidate, key: NetworkKey, models: ModelSet, effort: Effort) -> Candidate:
    """A network after fine-tuning, from the baseline or a donor's network on."""
    before = baseline.bits
    candidate = _best_donor(baseline, key, models)
    for _ in range(effort.output_rounds):
        fine_tune_outputs(candidate)
    for _ in range(effort.hidden_rounds if before >= 8 * _MIN_HIDDEN_BYTES else 0):
        fine_tune_hidden(candidate)
        fine_tune_outputs(candidate)
    return candidate


def _best_donor(baseline: Candidate, key: NetworkKey, models: ModelSet) -> Candidate:
    """The baseline, or the network of another family that codes a few examples best as it is."""
    examples = baseline.sample.thinned(_FEW).examples
    few = Sample(examples, len(examples))
    best, least = baseline.donor, Candidate(baseline.donor, baseline.net, few, baseline.costs).bits - _HEAD_BITS
    for family in models.families:
        if family != baseline.donor and kind_of(family) is kind_of(baseline.donor):
            bits = Candidate(family, models.families[family].networks[key], few, baseline.costs).bits
            if bits < least:
                best, least = family, bits
    if best == baseline.donor:
        return baseline
    return Candidate(best, models.families[best].networks[key], baseline.sample, baseline.costs)


def fine_tune_outputs(candidate: Candidate) -> None:
    """One coordinate-descent round over the last layer and the linear path, offsets first, then scales; noted as the
    best only if total bits fall."""
    deltas, replay = candidate.deltas, candidate.replay
    expansion, features = candidate.expansion(), replay.output_features()
    for column, group in enumerate((OFFSET, SCALE)):
        quadratic = candidate.quadratic(
            Features(features, replay.output_scale(group)),
            Expansion(expansion.slope[:, column], expansion.curvature[:, column]),
            group,
            slice(None),
        )
        code = deltas[group].code
        tried = [
            descend.solve(quadratic, deltas.prices, quantum, deltas.in_quanta(group, quantum))
            for quantum in ((code.quantum,) if code else _TRIED_QUANTA)
        ]
        best = min(tried, key=lambda solution: solution.bits)
        deltas[group] = GroupDeltas(best.deltas, GroupCode(best.scale_class, best.quantum))
    replay.run_outputs()
    candidate.keep()


def fine_tune_hidden(candidate: Candidate) -> None:
    """One round over the second, then the first hidden layer, unit by unit; a layer is undone if total bits do not
    fall."""
    deltas = candidate.deltas
    for group in (SECOND, FIRST):
        before = deltas[group]
        code = before.code or _HIDDEN_CODE
        deltas[group] = GroupDeltas(before.values.copy(), code)
        for unit in range(deltas.units[group]):
            _fine_tune_unit(candidate, group, unit, code)
        best = int(deltas.prices[:, deltas[group].values + MOST].sum(1).argmin())
        deltas[group] = GroupDeltas(deltas[group].values, replace(code, scale_class=best))
        if not candidate.keep():
            # The class of what is undone stays, if there was one: the next round begins with it.
            deltas[group] = GroupDeltas(before.values, deltas[group].code if before.code else None)
            candidate.replay.run()


def _fine_tune_unit(candidate: Candidate, group: int, unit: int, code: GroupCode) -> None:
    """Better weights of a hidden unit, undone if total bits do not fall."""
    deltas, replay = candidate.deltas, candidate.replay
    reach = replay.hidden_slopes(group, unit)
    if not reach.any():
        return
    by_outputs = candidate.expansion()
    slope, curvature = (by_outputs.slope * reach).sum(1), (by_outputs.curvature * reach * reach).sum(1)
    features, which, values = replay.hidden_features(group), deltas.unit(group, unit), deltas[group].values
    curved = np.nonzero(curvature > 0)[0]
    quadratic = candidate.quadratic(
        replace(features, values=features.values[curved]),
        Expansion(slope[curved], curvature[curved]),
        group,
        which,
    )
    old = values[which]
    before = candidate.residual_bits() + deltas.price(old, code.scale_class)
    new = descend.solve(quadratic, deltas.prices, code.quantum, old, code.scale_class).deltas
    if (new == old).all():
        return
    values[which] = new
    replay.run_unit(group, unit, features)
    if candidate.residual_bits() + deltas.price(new, code.scale_class) >= before:
        values[which] = old
        replay.run_unit(group, unit, features)
