"""Trains the networks of the topology codec on masks: every tree turned at random, some with tiles for full leaves, fog
also thinned to its higher values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from neuralvdb.archive.rans import Tables
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.nets.network import OUTPUTS, Network
from neuralvdb.topology import priors
from neuralvdb.topology.bricks import FINDS
from neuralvdb.topology.code_mask import code_mask
from neuralvdb.topology.code_tree import code_tree
from neuralvdb.topology.inputs import FAMILIES, Family, View, inputs, inputs_of
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.network import LOGIT_CLASSES
from neuralvdb.topology.neural import has_tiles
from neuralvdb.topology.similarity import resembles
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree
from neuralvdb.volume.field_kind import FieldKind, field_kind
from neuralvdb.volume.grid import unpack

_ONE, _CEILING, _RANGE = 16.0, 255 / 16, 2.0  # one in integers; largest activation; largest weight
_LEAST = 3000  # active voxels of a field worth thinning
_THIN = (0.02, 0.7)  # quantiles of the active values that fog is thinned to
Key = tuple[str, int]
Case = tuple[Topology, Topology | None]  # a topology, and one that it resembles


@dataclass
class Examples:
    """M cells: inputs (M, i) int8 in units of 1, some and every (M,) int8: the bits, every -1 where it is not coded."""

    inputs: np.ndarray
    some: np.ndarray
    every: np.ndarray


def cases_of(paths: Iterable[str | os.PathLike[str]], rng: np.random.Generator, thin: int) -> Iterator[Case]:
    """The different topologies of .vdb files, also with tiles for full leaves and beside the one before in the file;
    fog `thin` times without its lower values, also beside another time. Raises InputError, DamagedFile.
    """
    seen = set()
    for path in paths:
        before = None
        for grid in VdbReader(path):
            if grid.tree is None or not len(grid.tree.leaf):
                continue
            topology = Topology.of(grid.tree)
            key = b"".join(mask.tobytes() for mask in topology.masks)
            if key not in seen:
                seen.add(key)
                yield topology, None
                yield _tiled(topology), None
                if before is not None and resembles(topology, before):
                    yield topology, before
                before = topology
            if field_kind(grid) is FieldKind.FOG:
                other = topology
                for thinned in _thinned(grid.tree, rng, thin):
                    yield thinned, None
                    yield (thinned, other) if rng.random() < 0.5 else (other, thinned)
                    other = thinned


def _thinned(tree: Tree, rng: np.random.Generator, times: int) -> Iterator[Topology]:
    """Less and less of a fog."""
    active = unpack(tree.leaf.active)
    values = tree.leaf.values
    found = values[active]
    found = found[np.isfinite(found)]
    if len(found) < _LEAST or len(np.unique(found[:_LEAST])) < 50:
        return
    for share in np.sort(rng.uniform(*_THIN, times)):
        kept = active & (values > np.quantile(found, share))
        child = unpack(tree.lower.child)
        child[child] = kept.any(1)
        pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
        yield replace(Topology.of(tree), lower_child=pack(child), leaf_active=pack(kept[kept.any(1)]))


def _tiled(topology: Topology) -> Topology:
    """The topology with active tiles where leaves are full."""
    full = (topology.leaf_active == 255).all(1)
    child, active = unpack(topology.lower_child), unpack(topology.lower_active)
    active[child] = full
    pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
    lower = {"lower_child": pack(child & ~active), "lower_active": topology.lower_active | pack(active)}
    return replace(topology, **lower, leaf_active=topology.leaf_active[~full])


def turned(topology: Topology, axes: list[int], mirrored: list[bool]) -> Topology:
    """The topology with its axes permuted and mirrored."""

    def turn(cubes: np.ndarray) -> np.ndarray:
        edge = round(cubes.shape[1] ** (1 / 3))
        cubes = cubes.reshape(-1, edge, edge, edge).transpose(0, *(1 + a for a in axes))
        return np.flip(cubes, [1 + a for a in range(3) if mirrored[a]]).reshape(-1, edge**3)

    def move(origins: np.ndarray) -> np.ndarray:
        return np.where(mirrored, -4096 - origins[:, axes], origins[:, axes]).astype(np.int32)

    pack = lambda mask: np.packbits(turn(mask), axis=1, bitorder="little")  # noqa: E731
    made, order = [], np.arange(len(topology.child_origins))
    for child, active in (
        (topology.upper_child, topology.upper_active),
        (topology.lower_child, topology.lower_active),
    ):
        bits = unpack(child)
        made += [pack(bits[order]), pack(unpack(active)[order])]
        number = np.full(bits.shape, -1)
        number[bits] = np.arange(bits.sum())
        number = turn(number[order])
        order = number[number >= 0]
    made.append(pack(unpack(topology.leaf_active)[order]))
    return Topology(move(topology.child_origins), move(topology.tile_origins), topology.tile_active, *made)


class _Recorder:
    """Notes examples while a topology is coded, at most `limit` of a phase of a mask."""

    def __init__(self, rng: np.random.Generator, limit: int, found: dict[Key, list[Examples]]) -> None:
        self._rng, self._limit, self._found = rng, limit, found

    def classify(self, view: View, family: Family, phase: int, row: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Picks cells; step() sees their bits."""
        self._pick = np.sort(self._rng.permutation(len(row))[: self._limit])
        seen = inputs(view, family, phase, row[self._pick].astype(np.int64), cell[self._pick].astype(np.int64))
        self._key, self._seen, self._voxels, self._some = (family.name, phase), seen // int(_ONE), view.k == 0, None
        return np.zeros((len(row), OUTPUTS), np.uint8)

    def step(self, _: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Notes the bits of the cells picked once all are known."""
        assert bits is not None
        if self._some is None:
            self._some = bits.astype(np.int8)
            if not self._voxels:
                return bits
        every = np.full(len(self._some), -1, np.int8)
        if not self._voxels:
            every[self._some > 0] = bits
        some, every = self._some[self._pick], every[self._pick]
        self._found.setdefault(self._key, []).append(Examples(self._seen.astype(np.int8), some, every))
        return bits


def examples_of(cases: Iterable[Case], rng: np.random.Generator, turns: int, limit: int) -> dict[Key, Examples]:
    """Examples of every phase: each case `turns` times, turned at random, at most `limit` of a phase each time."""
    found: dict[Key, list[Examples]] = {}
    for topology, base in cases:
        for _ in range(turns):
            axes, mirrored = list(rng.permutation(3)), list(rng.random(3) < 0.5)
            recorder = _Recorder(rng, limit, found)
            one, other = (t and turned(t, axes, mirrored) for t in (topology, base))
            code = partial(code_mask, recorder.classify, recorder.step)
            code_tree(one, has_tiles(topology), code, FINDS["native"], reference=other)
    names = tuple(Examples.__dataclass_fields__)
    return {
        key: Examples(*(np.concatenate([getattr(p, n) for p in parts]) for n in names)) for key, parts in found.items()
    }


class Model(nn.Module):
    """The float twin of topology.network."""

    def __init__(self, inputs: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden[0]), nn.Linear(*hidden)
        self.last, self.linear = nn.Linear(hidden[1], OUTPUTS), nn.Linear(inputs, OUTPUTS, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (M, 2) of inputs (M, i)."""
        h = torch.relu(self.first(x)).clamp(max=_CEILING)
        h = torch.relu(self.second(h)).clamp(max=_CEILING)
        return self.last(h) + self.linear(x)


def bits(logits: torch.Tensor, some: torch.Tensor, every: torch.Tensor) -> torch.Tensor:
    """(M,) ideal code lengths."""
    first = cross_entropy(logits[:, 0], some.float(), reduction="none")
    second = cross_entropy(logits[:, 1], (every > 0).float(), reduction="none")
    return (first + second * (every >= 0)) / math.log(2)


def train(key: Key, examples: Examples, *, steps: int, seed: int, batch: int = 2048) -> Network:
    """The network of a phase, fitted by Adam under a one-cycle schedule and rounded to integers."""
    torch.manual_seed(seed)
    (family,) = [f for f in FAMILIES if f.name == key[0]]
    model = Model(inputs_of(family, key[1]), family.hidden)
    data = [torch.from_numpy(a) for a in (examples.inputs, examples.some, examples.every)]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(steps):
        pick = torch.randint(0, len(data[0]), (batch,))
        x, some, every = (d[pick] for d in data)
        loss = bits(model(x.float()), some, every).mean()
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
    w1, b1, s1 = _rounded(model.first.weight, model.first.bias)
    w2, b2, s2 = _rounded(model.second.weight, model.second.bias)
    last = [_rounded(model.last.weight[r : r + 1], model.last.bias[r : r + 1]) for r in range(OUTPUTS)]
    line = [_rounded(model.linear.weight[r : r + 1], torch.zeros(1)) for r in range(OUTPUTS)]
    w3, b3, linear = (np.concatenate([part[i] for part in parts]) for parts, i in ((last, 0), (last, 1), (line, 0)))
    return Network(w1, b1, w2, b2, w3, b3, linear, np.array([s1, s2, *(p[2] for p in last + line)], np.int8))


def _rounded(weight: torch.Tensor, bias: torch.Tensor) -> tuple[np.ndarray, np.ndarray, int]:
    """Weights int8, biases int32 and the shift of a layer."""
    largest = float(weight.detach().abs().max())
    power = max(0, min(12, math.floor(math.log2(127 / largest)))) if largest else 12
    weights = torch.round(weight * 2**power).clamp(-127, 127).detach().numpy().astype(np.int8)
    return weights, torch.round(bias * _ONE * 2**power).detach().numpy().astype(np.int32), power


def tables() -> Tables:
    """The tables: class c stands for the middle of its quarter of a logit."""
    middle = (np.arange(LOGIT_CLASSES) - LOGIT_CLASSES // 2 + 0.5) / 4
    ones = np.clip(np.round(TOTAL / (1 + np.exp(-middle))), 1, TOTAL - 1)
    return Tables(np.stack([TOTAL - ones, ones], 1))


def train_prior(
    cases: Iterable[Case],
    rng: np.random.Generator,
    *,
    steps: dict[str, int],
    turns: int,
    limit: int,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> priors.Prior:
    """The prior fitted to cases. steps: of each network, by family; turns and limit as in examples_of(). `progress` is
    told of each network."""
    networks = {}
    for key, examples in sorted(examples_of(cases, rng, turns, limit).items()):
        networks[key] = train(key, examples, steps=steps[key[0]], seed=seed)
        progress(f"{key[0]} {key[1]}")
    return priors.make(networks, tables())
