"""Pretrains the networks of the topology codec on masks; every tree is turned and mirrored at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from neuralvdb.archive.rans import Tables
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.dataclass import dataclass
from neuralvdb.fit import optimise
from neuralvdb.fit.topology_cases import Case, reoriented
from neuralvdb.kernels.fit import Layers
from neuralvdb.nets.network import OUTPUTS, Network
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import INDEXES
from neuralvdb.topology.code_mask import code_mask
from neuralvdb.topology.code_tree import code_tree
from neuralvdb.topology.inputs import FAMILIES, Family, View, inputs, inputs_of
from neuralvdb.topology.network import LOGIT_CLASSES
from neuralvdb.topology.neural import has_tiles

_ONE, _CEILING, _RANGE = 16.0, 255 / 16, 2.0  # one in integers; largest activation; largest weight
_BATCH, _RATE, _LARGEST_RATE = 2048, 1e-3, 6e-3
Key = tuple[str, int]  # family and phase


@dataclass(frozen=True)
class Examples:
    """M cells to learn from.

    inputs: (M, i) int8, in units of 1.
    any_set: (M,) int8, whether a bit of the cell is set.
    all_set: (M,) int8, whether all of them are; -1 where that is not coded.
    """

    inputs: np.ndarray
    any_set: np.ndarray
    all_set: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TopologyRecipe:
    """How the networks are pretrained.

    iterations: of each network, by family.
    orientations: in which each case is seen.
    limit: examples of a phase of a mask of a case, at most.
    seed: of the optimiser.
    """

    iterations: Mapping[str, int]
    orientations: int
    limit: int
    seed: int


def pretrain_topology(
    cases: Iterable[Case],
    rng: np.random.Generator,
    recipe: TopologyRecipe,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> priors.Prior:
    """The prior trained on cases. `progress` is told of each network."""
    networks = {}
    for key, examples in sorted(collect(cases, rng, recipe).items()):
        networks[key] = train(key, examples, iterations=recipe.iterations[key[0]], seed=recipe.seed)
        progress(f"{key[0]} {key[1]}")
    return priors.make(networks, tables())


class _Recorder:
    """Notes examples while a topology is coded, at most `limit` of a phase of a mask."""

    def __init__(self, rng: np.random.Generator, limit: int, examples: dict[Key, list[Examples]]) -> None:
        self._rng, self._limit, self._examples = rng, limit, examples
        self._any_set: np.ndarray | None = None

    def classify(self, view: View, family: Family, phase: int, brick: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Picks cells; code_bits() is given their bits."""
        self._pick = np.sort(self._rng.permutation(len(brick))[: self._limit])
        scaled = inputs(view, family, phase, brick[self._pick].astype(np.int64), cell[self._pick].astype(np.int64))
        self._key, self._inputs = (family.name, phase), (scaled // int(_ONE)).astype(np.int8)
        self._voxels, self._any_set = view.k == 0, None
        return np.zeros((len(brick), OUTPUTS), np.uint8)

    def code_bits(self, _: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Notes the bits of the cells picked once all are known."""
        assert bits is not None, "an encoder knows its bits"
        if self._any_set is None:
            self._any_set = bits.astype(np.int8)
            if not self._voxels:
                return bits
        any_set = self._any_set
        all_set = np.full(len(any_set), -1, np.int8)
        if not self._voxels:
            all_set[any_set > 0] = bits
        picked = Examples(self._inputs, any_set[self._pick], all_set[self._pick])
        self._examples.setdefault(self._key, []).append(picked)
        return bits


def collect(cases: Iterable[Case], rng: np.random.Generator, recipe: TopologyRecipe) -> dict[Key, Examples]:
    """Examples of every network, met while coding each case in some orientations."""
    examples: dict[Key, list[Examples]] = {}
    for case in cases:
        for _ in range(recipe.orientations):
            axes, mirrored = rng.permutation(3).tolist(), (rng.random(3) < 0.5).tolist()
            recorder = _Recorder(rng, recipe.limit, examples)
            topology = reoriented(case.topology, axes, mirrored)
            reference = None if case.reference is None else reoriented(case.reference, axes, mirrored)
            code = partial(code_mask, recorder.classify, recorder.code_bits)
            code_tree(topology, has_tiles(topology), code, INDEXES["native"], reference=reference)
    return {key: _joined(collected) for key, collected in examples.items()}


def _joined(examples: list[Examples]) -> Examples:
    return Examples(*(np.concatenate([getattr(each, field.name) for each in examples]) for field in fields(Examples)))


class Model(nn.Module):
    """The float twin of nets/network.py."""

    def __init__(self, inputs: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden[0]), nn.Linear(*hidden)
        self.last, self.linear = nn.Linear(hidden[1], OUTPUTS), nn.Linear(inputs, OUTPUTS, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (M, 2) of inputs (M, i)."""
        h = torch.relu(self.first(x)).clamp(max=_CEILING)
        h = torch.relu(self.second(h)).clamp(max=_CEILING)
        return self.last(h) + self.linear(x)


def code_length(logits: torch.Tensor, any_set: torch.Tensor, all_set: torch.Tensor) -> torch.Tensor:
    """(M,) ideal code lengths in bits of what Examples has of cells."""
    first = cross_entropy(logits[:, 0], any_set.float(), reduction="none")
    second = cross_entropy(logits[:, 1], (all_set > 0).float(), reduction="none")
    return (first + second * (all_set >= 0)) / math.log(2)


def train(key: Key, examples: Examples, *, iterations: int, seed: int) -> Network:
    """The network of a phase, trained by Adam under a one-cycle schedule and rounded to integers."""
    torch.manual_seed(seed)
    (family,) = [f for f in FAMILIES if f.name == key[0]]
    model = Model(inputs_of(family, key[1]), family.hidden)
    data = [torch.from_numpy(a) for a in (examples.inputs, examples.any_set, examples.all_set)]
    optimiser = torch.optim.Adam(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LARGEST_RATE, total_steps=iterations)
    for _ in range(iterations):
        pick = torch.randint(0, len(data[0]), (_BATCH,))
        x, any_set, all_set = (array[pick] for array in data)
        loss = code_length(model(x.float()), any_set, all_set).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for layer in (model.first, model.second, model.last, model.linear):
                layer.weight.clamp_(-_RANGE, _RANGE)
    return to_integers(model)


def to_integers(model: Model) -> Network:
    """The integer network nearest to a trained one."""
    net = Layers(
        w1=model.first.weight.detach(),
        linear=model.linear.weight.detach(),
        w2=model.second.weight.detach(),
        w3=model.last.weight.detach(),
        b1=model.first.bias.detach(),
        b2=model.second.bias.detach(),
        b3=model.last.bias.detach(),
        tail=torch.zeros(1),
    )
    return optimise.to_integers(net, units=(0, 0))


def tables() -> Tables:
    """The tables: class c stands for the middle of its quarter of a logit."""
    middle = (np.arange(LOGIT_CLASSES) - LOGIT_CLASSES // 2 + 0.5) / 4
    ones = np.clip(np.round(TOTAL / (1 + np.exp(-middle))), 1, TOTAL - 1)
    return Tables(np.stack([TOTAL - ones, ones], 1))
