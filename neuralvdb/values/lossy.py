"""Leaf values under a promised maximum error: VALS, codec 1, and TILE sections (layout in archive/SPEC.md)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array
from neuralvdb.archive.rans import Encoder
from neuralvdb.values import tiles
from neuralvdb.values.lattice import domain, levels, mean, priors, sample
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.predict import MeanPredictor, Predictor
from neuralvdb.values.lattice.steps import UNITS_PER_ERROR
from neuralvdb.values.lossless import put_shell
from neuralvdb.volume.grid import Level, Tree, unpack


@dataclass(frozen=True)
class Promise:
    """How a grid is coded and what is promised of it: no active value v is off by more than max(bound, ratio |v|).

    bound: in the grid's values, infinite where nothing is promised. family: of the predictor. half: values will be
    saved as half, and are promised as that. step: 0 for the sample lattice, else the finest step of the mean lattice,
    and knee where its companding begins (0: nowhere), both in the grid's values.
    """

    bound: float
    family: str
    half: bool
    ratio: float = 0.0
    step: float = 0.0
    knee: float = 0.0

    @property
    def lattice(self) -> domain.Lattice:
        """The lattice that keeps it."""
        if not self.step:
            return domain.Lattice(self.bound / UNITS_PER_ERROR, knee_of(self.ratio))
        unit = self.step / mean.STEPS[0]
        return domain.Lattice(unit, int(np.ceil(self.knee / unit)))

    def kept(self, true: np.ndarray, decoded: np.ndarray) -> np.ndarray:
        """bool of the shape of the arrays: where it holds; equal infinities count, NaN never does."""
        with np.errstate(invalid="ignore", over="ignore"):
            x = true.astype(np.float64)
            error = np.abs(decoded - x)
            return (np.isfinite(error) & (error <= np.maximum(self.bound, self.ratio * np.abs(x)))) | (decoded == x)

    def values(self, lattice: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The grid's values of lattice values, rounded as they will be saved."""
        with np.errstate(over="ignore"):
            found = self.lattice.values(lattice).astype(dtype)
            return found.astype(np.float32).astype(np.float16).astype(dtype) if self.half else found

    @property
    def error(self) -> tuple[float | None, float]:
        """Bound, None where it is infinite, and ratio."""
        return (self.bound if np.isfinite(self.bound) else None), self.ratio

    def valid(self) -> bool:
        """Whether the numbers make sense, as those of a damaged archive may not."""
        lattice = np.isfinite(self.step) and (self.step > 0 or np.isfinite(self.bound))
        lattice = lattice and (self.step > 0) == self.family.endswith("-mean")
        numbers = self.bound > 0 and 0 <= self.ratio < 1 and self.step >= 0 and 0 <= self.knee < np.inf
        return bool(lattice and numbers and self.knee <= self.step * 1e9)


def encode(
    tree: Tree, promise: Promise, *, threads: int = 1, implementation: str = "native"
) -> tuple[bytes, dict[int, bytes], Tree]:
    """The payload of a VALS section, those of TILE sections by their number, and the tree as it decodes."""
    prior = priors.load(promise.family)
    out = FieldWriter()
    out.put("u8", priors.FAMILIES.index(promise.family), promise.half)
    out.put_bytes(prior.identity + struct.pack("<4d", promise.bound, promise.ratio, promise.step, promise.knee))
    put_shell(out, tree)
    values = values_of(tree).copy()
    sections: dict[int, bytes] = {}
    for number, part in enumerate(domain.domains(tree)):
        coders = []
        for component in range(values.shape[2]):
            coders.append([Encoder(prior.tables) for _ in range(levels.OCTAVES)])
            level = _encode(tree, part, component, promise, prior, coders[-1], threads, implementation)
            store(values, part, component, level, promise)
        exceptions = _exceptions(tree, part, values, promise)
        for octave, payload in tiles.pack(coders, exceptions, threads):
            sections[levels.OCTAVES * number + octave] = payload
    return out.getvalue(), sections, _with_values(tree, values)


def _encode(
    tree: Tree,
    part: domain.Domain,
    component: int,
    promise: Promise,
    prior: priors.Prior,
    coders: list[Encoder],
    threads: int,
    implementation: str,
) -> levels.Level:
    """A component of a domain to the encoders of its octaves; gives its voxels as they decode."""
    place = (tree, part, component, promise.lattice)
    options = {"threads": threads, "implementation": implementation}
    if promise.step:
        exact, floors = mean.floors_of(*place)
        mean.encode(exact, floors, MeanPredictor(prior.networks, **options), prior.tables, coders)
        return floors[0].level
    exact, decoded = sample.levels_of(*place)
    sample.encode(exact, decoded, Predictor(prior.networks, **options), prior.tables, coders)
    return decoded[0]


def promise_of(payload: bytes, where: str) -> Promise:
    """The promise of a payload. Raises DamagedFile."""
    return take_promise(FieldReader(payload, where))[0]


def take_promise(source: FieldReader) -> tuple[Promise, priors.Prior]:
    """What stands at the beginning of a payload. Raises DamagedFile."""
    family, half = source.take("u8"), source.take("u8")
    if family >= len(priors.FAMILIES) or half > 1:
        raise source.damaged("a family of predictors that does not exist")
    prior = priors.load(priors.FAMILIES[family])
    head = bytes(source.take_bytes())
    if len(head) != 40 or head[:8] != prior.identity:
        raise source.damaged("it needs predictors that this version does not have")
    bound, ratio, step, knee = struct.unpack("<4d", head[8:])
    promise = Promise(bound, priors.FAMILIES[family], bool(half), ratio, step, knee)
    if not promise.valid():
        raise source.damaged("it promises what makes no sense")
    return promise, prior


def values_of(tree: Tree) -> np.ndarray:
    """(N, 512, C) view of the leaves' values."""
    shape = tree.leaf.values.shape
    return tree.leaf.values.reshape(*shape[:2], shape[2] if len(shape) == 3 else 1)


def _with_values(tree: Tree, values: np.ndarray) -> Tree:
    leaf = Level(None, tree.leaf.active, values.reshape(tree.leaf.values.shape))
    return Tree(tree.root, tree.upper, tree.lower, leaf)


def store(values: np.ndarray, part: domain.Domain, component: int, level: levels.Level, promise: Promise) -> None:
    """Decoded lattice values to the active voxels of a domain's leaves."""
    bricks = len(part.leaves)
    on = level.coded[:bricks] != 0
    target = values[part.leaves, :, component]
    target[on] = promise.values(level.values[:bricks], values.dtype)[on]
    values[part.leaves, :, component] = target


def _exceptions(tree: Tree, part: domain.Domain, values: np.ndarray, promise: Promise) -> bytes:
    """Every active value of a domain for which the promise does not hold, put into `values`, too."""
    out = FieldWriter()
    on = unpack(tree.leaf.active[part.leaves])
    for component in range(values.shape[2]):
        x, y = values_of(tree)[part.leaves, :, component], values[part.leaves, :, component]
        off = on & ~promise.kept(x, y)
        place = np.flatnonzero(off)
        out.put_varint(len(place))
        if len(place):
            put_array(out, np.diff(place, prepend=0).astype(np.uint64))
            put_array(out, x[off])
            y[off] = x[off]
            values[part.leaves, :, component] = y
    return out.getvalue()
