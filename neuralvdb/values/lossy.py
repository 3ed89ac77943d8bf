"""Leaf values under a promised maximum error: VALS, codec 1, and TILE sections (layout in archive/SPEC.md)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.archive.rans import Tables
from neuralvdb.topology import Topology
from neuralvdb.values import tiles
from neuralvdb.values.lattice import domain, levels, mean, priors, sample, tables
from neuralvdb.values.lattice.compand import knee_of
from neuralvdb.values.lattice.network import CLASSES
from neuralvdb.values.lattice.predict import MeanPredictor, Predictor
from neuralvdb.values.lattice.residual import Record
from neuralvdb.values.lattice.steps import UNITS_PER_ERROR
from neuralvdb.values.lossless import put_shell, take_shell
from neuralvdb.volume.grid import LEAF_SLOTS, Level, Tree, unpack

_SAMPLE = 64  # leaves that a family is tried on


@dataclass(frozen=True)
class Promise:
    """How a grid is coded and what is promised of it: no active value v is off by more than max(bound, ratio |v|).

    bound: in the grid's values, infinite where nothing is promised. family: of the predictor. half: values will be
    saved as half, and are promised as that. step: 0 for the sample lattice, else the finest step of the mean lattice,
    and knee where its companding begins (0: nowhere), both in the grid's values. psnr: of active leaf values in dB,
    peak = active range; 0 where none is promised.
    """

    bound: float
    family: str
    half: bool
    ratio: float = 0.0
    step: float = 0.0
    knee: float = 0.0
    psnr: float = 0.0

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

    def described(self) -> dict[str, object]:
        """For people and JSON; max_error is None where it is infinite."""
        bound = self.bound if np.isfinite(self.bound) else None
        lattice = "mean" if self.step else "sample"
        return {"max_error": bound, "ratio": self.ratio, "psnr": self.psnr, "lattice": lattice, "family": self.family}

    def valid(self) -> bool:
        """Whether the numbers make sense, as those of a damaged archive may not."""
        lattice = np.isfinite(self.step) and (self.step > 0 or np.isfinite(self.bound))
        numbers = self.bound > 0 and 0 <= self.ratio < 1 and self.step >= 0 and 0 <= self.knee < np.inf
        numbers = numbers and 0 <= self.psnr < np.inf
        return bool(lattice and numbers and self.knee <= self.step * 1e9)


def encode(
    tree: Tree, promise: Promise, *, threads: int = 1, implementation: str = "native"
) -> tuple[bytes, dict[int, bytes], Tree]:
    """The payload of a VALS section, those of TILE sections by their number, and the tree as it decodes."""
    prior = priors.load(promise.family)
    values = _values(tree).copy()
    coded: list[tuple[list[list[Record]], bytes]] = []
    counts = np.zeros_like(Record().counts)
    for part in domain.domains(tree):
        records = [[Record() for _ in range(levels.OCTAVES)] for _ in range(values.shape[2])]
        for component, streams in enumerate(records):
            level = _encode(tree, part, component, promise, prior, streams, threads, implementation)
            _store(values, part, component, level, promise)
            counts += sum(stream.counts for stream in streams)
        coded.append((records, _exceptions(tree, part, values, promise)))
    rows = tables.chosen(counts, promise.family)
    out = FieldWriter()
    out.put("u8", priors.FAMILIES.index(promise.family), promise.half)
    numbers = struct.pack("<5d", promise.bound, promise.ratio, promise.step, promise.knee, promise.psnr)
    out.put_bytes(priors.identity(promise.family) + numbers)
    put_array(out, rows - tables.own(promise.family))
    put_shell(out, tree)
    return out.getvalue(), _sections(coded, tables.tables_of(rows), threads), _with_values(tree, values)


def _sections(coded: list[tuple[list[list[Record]], bytes]], freq: Tables, threads: int) -> dict[int, bytes]:
    """Payloads of TILE by number, from the records of all domains, by component and octave, and their exceptions."""
    found: dict[int, bytes] = {}
    for number, (records, exceptions) in enumerate(coded):
        coders = [[stream.written(freq) for stream in component] for component in records]
        for octave, payload in tiles.pack(coders, exceptions, threads):
            found[levels.OCTAVES * number + octave] = payload
    return found


def _encode(
    tree: Tree,
    part: domain.Domain,
    component: int,
    promise: Promise,
    prior: priors.Prior,
    records: list[Record],
    threads: int,
    implementation: str,
) -> levels.Level:
    """A component of a domain to the records of its octaves; gives its voxels as they decode."""
    place = (tree, part, component, promise.lattice)
    options = {"threads": threads, "implementation": implementation}
    if promise.step:
        exact, floors = mean.floors_of(*place)
        mean.encode(exact, floors, MeanPredictor(prior.networks, **options), records, implementation)
        return floors[0].level
    exact, decoded = sample.levels_of(*place)
    sample.encode(exact, decoded, Predictor(prior.networks, **options), records)
    return decoded[0]


def sample_size(tree: Tree, promise: Promise) -> int:
    """Bytes, nearly, that a few neighbouring leaves take: what tells which family of networks suits a tree."""
    part = domain.sample(tree, _SAMPLE)
    prior = priors.load(promise.family)
    streams = [Record() for _ in range(levels.OCTAVES)]
    for component in range(_values(tree).shape[2]):
        _encode(tree, part, component, promise, prior, streams, 1, "native")
    freq = tables.tables_of(tables.chosen(sum(stream.counts for stream in streams), promise.family))
    return sum(stream.written(freq).size for stream in streams)


def promise_of(payload: bytes, where: str) -> Promise:
    """The promise of a payload. Raises DamagedFile."""
    return _take_promise(FieldReader(payload, where))[0]


def decode(
    payload: bytes,
    sections: Mapping[int, bytes],
    topology: Topology,
    dtype: np.dtype,
    components: int,
    declared: int,
    where: str,
    *,
    threads: int = 1,
    implementation: str = "native",
) -> Tree:
    """The tree of `topology` with its values; sections: TILE payloads by their number, read on access.

    Raises DamagedFile as lossless.decode() does.
    """
    source = FieldReader(payload, where)
    promise, prior = _take_promise(source)
    rows = take_array(source, np.dtype(np.uint8), CLASSES) + tables.own(promise.family)
    if (rows >= len(priors.all_tables())).any():
        raise source.damaged("a table that does not exist")
    tree = take_shell(source, topology, dtype, components, declared)
    source.finish()
    values = _values(tree)
    values[unpack(tree.leaf.active)] = 0
    number = -1
    for number, part in enumerate(domain.domains(tree)):
        reader = tiles.TileReader(sections, number, components, tables.tables_of(rows), where, threads)
        for component in range(components):
            streams = reader.component(component)
            level = _decode(tree, part, component, promise, prior, streams, threads, implementation)
            streams.finish()
            _store(values, part, component, level, promise)
        _take_exceptions(reader.exceptions, tree, part, values)
    if any(section >= levels.OCTAVES * (number + 1) for section in sections):
        raise source.damaged("it has sections for domains that there are not")
    return tree


def _decode(
    tree: Tree,
    part: domain.Domain,
    component: int,
    promise: Promise,
    prior: priors.Prior,
    streams: tiles.ComponentReader,
    threads: int,
    implementation: str,
) -> levels.Level:
    """The voxels of a component of a domain, the opposite of _encode()."""
    place = (tree, part, component, promise.lattice)
    options = {"threads": threads, "implementation": implementation}
    if promise.step:
        floors = mean.floors_of(*place)[1]
        mean.decode(floors, MeanPredictor(prior.networks, **options), streams, implementation=implementation)
        return floors[0].level
    decoded = sample.levels_of(*place)[1]
    sample.decode(decoded, Predictor(prior.networks, **options), streams)
    return decoded[0]


def _take_promise(source: FieldReader) -> tuple[Promise, priors.Prior]:
    family, half = source.take("u8"), source.take("u8")
    if family >= len(priors.FAMILIES) or half > 1:
        raise source.damaged("a family of predictors that does not exist")
    prior = priors.load(priors.FAMILIES[family])
    head = bytes(source.take_bytes())
    if len(head) != 48 or head[:8] != priors.identity(priors.FAMILIES[family]):
        raise source.damaged("it needs predictors that this version does not have")
    bound, *numbers = struct.unpack("<5d", head[8:])
    promise = Promise(bound, priors.FAMILIES[family], bool(half), *numbers)
    if not promise.valid():
        raise source.damaged("it promises what makes no sense")
    return promise, prior


def _values(tree: Tree) -> np.ndarray:
    """(N, 512, C) view of the leaves' values."""
    shape = tree.leaf.values.shape
    return tree.leaf.values.reshape(*shape[:2], shape[2] if len(shape) == 3 else 1)


def _with_values(tree: Tree, values: np.ndarray) -> Tree:
    leaf = Level(None, tree.leaf.active, values.reshape(tree.leaf.values.shape))
    return Tree(tree.root, tree.upper, tree.lower, leaf)


def _store(values: np.ndarray, part: domain.Domain, component: int, level: levels.Level, promise: Promise) -> None:
    """Decoded lattice values to the active voxels of a domain's leaves."""
    bricks = len(part.leaves)
    with np.errstate(over="ignore"):
        found = promise.lattice.values(level.values[:bricks]).astype(values.dtype)
        if promise.half:
            found = found.astype(np.float32).astype(np.float16).astype(values.dtype)
    on = level.coded[:bricks] != 0
    target = values[part.leaves, :, component]
    target[on] = found[on]
    values[part.leaves, :, component] = target


def _exceptions(tree: Tree, part: domain.Domain, values: np.ndarray, promise: Promise) -> bytes:
    """Every active value of a domain for which the promise does not hold, put into `values`, too."""
    out = FieldWriter()
    on = unpack(tree.leaf.active[part.leaves])
    for component in range(values.shape[2]):
        x, y = _values(tree)[part.leaves, :, component], values[part.leaves, :, component]
        off = on & ~promise.kept(x, y)
        place = np.flatnonzero(off)
        out.put_varint(len(place))
        if len(place):
            put_array(out, np.diff(place, prepend=0).astype(np.uint64))
            put_array(out, x[off])
            y[off] = x[off]
            values[part.leaves, :, component] = y
    return out.getvalue()


def _take_exceptions(source: FieldReader, tree: Tree, part: domain.Domain, values: np.ndarray) -> None:
    on = unpack(tree.leaf.active[part.leaves]).reshape(-1)
    for component in range(values.shape[2]):
        count = source.take_varint()
        if count > len(on):
            raise source.damaged(f"{count} exceptions among {len(on)} voxels")
        if not count:
            continue
        place = np.cumsum(take_array(source, np.dtype("<u8"), count))
        exact = take_array(source, values.dtype, count)
        if place[-1] >= len(on) or (np.diff(place.astype(np.int64)) <= 0).any() or not on[place].all():
            raise source.damaged("an exception stands where no active voxel is")
        leaf, voxel = np.divmod(place.astype(np.int64), LEAF_SLOTS)
        values[part.leaves[leaf], voxel, component] = exact
    source.finish()
